//! Composition only: configuration, roles, lifecycle and wiring.
