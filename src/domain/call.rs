//! A call: its record and its pure state machine.
