//! When a call that did not get through is tried again.
