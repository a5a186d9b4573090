//! The binary: role → configuration → runtime → app.

fn main() {}
