//! Micro-benchmarks of what runs once or more for every call. `cargo bench -- --quick` for a first look.

use std::hint::black_box;

use carillon::domain::ids::{CallId, PhoneHash, Shard};
use criterion::{Criterion, Throughput};

/// A number that is nobody's.
const NUMBER: &str = "+14155550123";

fn ids(c: &mut Criterion) {
    let mut group = c.benchmark_group("ids");
    group.throughput(Throughput::Elements(1));
    group.bench_function("shard_of_number", |b| b.iter(|| Shard::of(black_box(NUMBER))));
    let shard = Shard::of(NUMBER);
    group.bench_function("new_call_id", |b| b.iter(|| CallId::new(black_box(shard))));
    group.bench_function("derived_call_id", |b| {
        b.iter(|| CallId::derived(black_box(shard), black_box("cmp_0000000000000000000001/+14155550123")));
    });
    let text = CallId::new(shard).as_str().to_owned();
    group.bench_function("parse_call_id", |b| b.iter(|| CallId::parse(black_box(&text))));
    group.bench_function("phone_hash", |b| {
        b.iter(|| PhoneHash::of(black_box(b"0123456789abcdef0123456789abcdef"), black_box(NUMBER)));
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    ids(&mut criterion);
    criterion.final_summary();
}
