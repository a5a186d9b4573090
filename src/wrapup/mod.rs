//! After the hang-up: final extraction, outcome, archive and notices.
