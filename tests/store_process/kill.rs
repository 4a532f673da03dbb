//! `SIGKILL` at any instant.

use std::time::Duration;

use promgate::Store;

use crate::child::Writer;
use crate::wanted;
use crate::workload::{Model, open, options};

#[test]
fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let (mut batches, mut acknowledged, mut replayed, mut unclean, mut without) = (0, 0, 0, 0, 0);
    let kills = wanted("KILLS", 100);
    let mut chance = wanted("KILL_SEED", 1);
    for kill in 0..kills {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let writer = Writer::start(folder.path(), batches);
        std::thread::sleep(Duration::from_micros(1000 + (chance >> 33) % 199_000));
        let told = writer.kill();
        let what = format!("kill {kill} of {kills}, {told} batches acknowledged, {batches} before");
        acknowledged += told.saturating_sub(batches);
        without += u64::from(told == 0);
        // Looking changes nothing; the next writer, or the opening below, has to recover.
        let reader =
            Store::open_read_only(folder.path(), options()).unwrap_or_else(|error| panic!("{what}: {error}"));
        reader.verify().unwrap_or_else(|error| panic!("{what}: {error}"));
        let seen = model.prefix(&reader.snapshot()).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        assert!(seen >= told.max(batches), "{what}: LOST, {seen} are there");
        drop(reader);
        batches = seen;
        if kill % 2 == 0 {
            let store = open(folder.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let report = store.open_report().unwrap();
            unclean += u64::from(report.unclean);
            replayed += report.replayed_batches;
            assert_eq!(report.foreign, [""; 0], "{what}");
            store.verify().unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = model.prefix(&store.snapshot()).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
            assert_eq!(found, seen, "{what}: recovery shows what a reader saw");
        }
    }
    println!(
        "{kills} kills, {without} of them before the first commit; {acknowledged} batches acknowledged, {batches} there; \
         {unclean} recoveries replayed {replayed} batches"
    );
    assert!(acknowledged > 0 && unclean > 0, "nothing was tried");
}
