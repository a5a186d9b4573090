//! The one integration binary. A journey uses what `support` starts: real servers on loopback, each ended on drop.
//!
//! | module | what it asks |
//! | --- | --- |
//! | `faults` | kills and a lying carrier: does every call end, is nobody dialed twice |
//! | `support` | servers, proxies, balancers, processes and a raw Redis client, tested in place |
//! | `journeys` | the whole program from outside: fleets, people, what the callee hears, dependencies away |
//! | `campaigns` | lists dialed by the rules: shared, paused, forbidden, in bad weather, from a spreadsheet |
//! | `tidy` | does the source keep the rules of the house |
//! | `wrapup` | what becomes of a call after the hang-up, S3, model and carrier failing |
//! | `safety` | what must not come out or get in: numbers, secrets, instructions, the data of somebody forgotten |
//! | `outbox` | does every event arrive, in order, whatever the receivers do |
//! | `store` | does the store keep its word on a real server |
//! | `cluster` | and on a real cluster |
//! | `soak` | a whole campaign while everything fails; a short one runs among `faults` |
//! | `readme` | does what the README prints work when it is pasted |
//! | `openapi` | do our requests agree with the vendor's own description |

mod campaigns;
mod cluster;
mod faults;
mod journeys;
mod openapi;
mod outbox;
mod readme;
mod safety;
mod soak;
mod store;
mod support;
mod tidy;
mod wrapup;
