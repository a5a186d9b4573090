//! The simulated outside world, over real HTTP. Imports `base` alone and has wire types of its own.

pub mod judge;
pub mod model;
pub mod people;
