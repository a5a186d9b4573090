//! The whole program from outside: real nodes as processes of their own, one Redis, the simulated world. What a test
//! found is printed; `./scripts/test journeys` shows it.

mod away;
mod client;
mod hears;
mod share;
mod signed;
mod table;
mod wire;
