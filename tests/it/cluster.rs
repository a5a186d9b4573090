//! The store's whole suite again, on a cluster of three.

use crate::store::{Bed, every_scenario};
use crate::support::{Backend, RedisCluster};

#[tokio::test]
async fn the_store_keeps_its_word_on_a_cluster() {
    let mut redis = Backend::Many(RedisCluster::start(3, 0).await);
    for (name, scenario) in every_scenario() {
        redis.everywhere(&["FLUSHALL"]).await;
        eprintln!("on a cluster: {name}");
        redis = scenario(Bed::on(redis).await).await;
    }
}
