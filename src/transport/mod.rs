//! An answered call's way in and out: carrier wire to `Heard`, `Act` to TwiML.
