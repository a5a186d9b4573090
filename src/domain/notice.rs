//! What downstream systems are told.
