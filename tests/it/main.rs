//! The one integration binary. A journey uses what `support` starts: real servers on loopback, each ended on drop.
//!
//! | module | what it asks |
//! | --- | --- |
//! | `support` | servers, proxies, balancers, processes and a raw Redis client, tested in place |
//! | `tidy` | does the source keep the rules of the house |
//! | `store` | does the store keep its word on a real server |
//! | `cluster` | and on a real cluster |
//! | `openapi` | do our requests agree with the vendor's own description |

mod cluster;
mod openapi;
mod store;
mod support;
mod tidy;
