//! Turns against a scripted model.

mod guards;
mod model;
mod support;
