//! Records, segments, and a log that is written and read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use tabswarm_coordinator::{Change, LogEntry, Rollback, RunPhase, StepChange};
use tabswarm_model::digest::Digest;
use tabswarm_model::master::AppliedSums;
use tabswarm_protocol::{ParamVersion, RunId};

use super::reader::{self, Scan};
use super::record::{Encoder, Record};
use super::segment::{self, Beginning, SegmentHeader};
use super::writer::Start;
use super::{Log, LogOptions};
use crate::disk::{Disk, DiskFile, replace};
use crate::error::StoreError;
use crate::faults::{Fault, FaultPlan, FaultyDisk};

const DIR: &str = "/log";
const RUN: RunId = RunId(7);
const MARK: [u8; 8] = *b"markmark";

fn step(sequence: u64) -> LogEntry {
    LogEntry {
        sequence,
        change: Change::Step(StepChange {
            version: ParamVersion(sequence),
            batch: 0,
            samples: 8,
            divisor: 10,
            loss_q20: -5,
            exponents: vec![3, -4],
            rate_factor: 0.1,
            digest: Digest([9; 32]),
            next_exponents: vec![2, -4],
            next_rises: vec![0, 300],
            credits: vec![(Digest([1; 32]), 8)],
        }),
    }
}

fn log(disk: &FaultyDisk, segment_bytes: u64) -> Log {
    if !disk.exists(Path::new(DIR)).unwrap() {
        disk.create_dir_all(Path::new(DIR)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
    }
    let start = Start {
        disk: Arc::new(disk.clone()),
        dir: DIR.into(),
        run_id: RUN,
        first: 1,
        carried: Vec::new(),
        last: 0,
    };
    let options = LogOptions {
        segment_bytes,
        secret: 5,
    };
    Log::start(start, options).unwrap()
}

fn scan(disk: &FaultyDisk) -> Scan {
    reader::scan(disk, Path::new(DIR), RUN).unwrap()
}

fn any_entry() -> impl Strategy<Value = (LogEntry, Option<AppliedSums>)> {
    let digest = || any::<[u8; 32]>().prop_map(Digest);
    let exponents = || proptest::collection::vec(any::<i8>(), 0..5);
    let rises = || proptest::collection::vec(any::<u32>(), 0..5);
    let credits = proptest::collection::vec((digest(), any::<u64>()), 0..5);
    let numbers = (any::<u64>(), 1..u64::MAX, any::<i64>(), -1e300..1e300_f64);
    let step = (
        numbers,
        exponents(),
        digest(),
        exponents(),
        rises(),
        credits,
    )
        .prop_map(
            |(numbers, exponents, digest, next_exponents, next_rises, credits)| {
                let (version, samples, loss_q20, rate_factor) = numbers;
                Change::Step(StepChange {
                    version: ParamVersion(version),
                    batch: version,
                    samples,
                    divisor: samples,
                    loss_q20,
                    exponents,
                    rate_factor,
                    digest,
                    next_exponents,
                    next_rises,
                    credits,
                })
            },
        );
    let phase = ".{0,20}".prop_map(|reason| Change::Phase {
        phase: RunPhase::Paused,
        reason: Some(reason),
    });
    let rolled_back = (any::<u64>(), digest(), any::<u64>(), exponents(), rises()).prop_map(
        |(version, digest, samples_committed, exponents, exponent_rises)| {
            Change::RolledBack(Rollback {
                version: ParamVersion(version),
                digest,
                samples_committed,
                exponents,
                exponent_rises,
                missing_batches: Vec::new(),
            })
        },
    );
    let sums = prop_oneof![
        Just(None),
        proptest::collection::vec(any::<i64>(), 300).prop_map(|v| Some(AppliedSums::Exact(v))),
        proptest::collection::vec(-9_000..9_000_i64, 300).prop_map(|v| Some(AppliedSums::Exact(v))),
        proptest::collection::vec(-1e30..1e30_f32, 300).prop_map(|v| Some(AppliedSums::F32(v))),
    ];
    let change = prop_oneof![step, phase, rolled_back];
    (any::<u64>(), change, sums)
        .prop_map(|(sequence, change, sums)| (LogEntry { sequence, change }, sums))
}

proptest! {
    #[test]
    fn a_record_comes_back(
        (entry, sums) in any_entry(),
        synced_through in any::<u64>(),
        damage in any::<prop::sample::Index>(),
    ) {
        let mut encoder = Encoder::default();
        let mut bytes = encoder.entry(MARK, &entry, sums.as_ref(), synced_through).unwrap().to_vec();
        let record = Record::parse(&bytes, MARK).unwrap();
        prop_assert_eq!(record.header.record_bytes(), bytes.len());
        prop_assert_eq!(record.header.synced_through, synced_through);
        prop_assert_eq!(record.entry().unwrap(), Some(entry));
        prop_assert_eq!(record.sums(300).unwrap(), sums.clone());
        if sums.is_some() {
            prop_assert!(record.sums(299).is_err());
        }
        prop_assert!(Record::parse(&bytes[..damage.index(bytes.len())], MARK).is_none());
        let bit = damage.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Record::parse(&bytes, MARK).is_none());
    }

    #[test]
    fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let disk = FaultyDisk::new(1);
        disk.create_dir_all(Path::new(DIR)).unwrap();
        let whole = SegmentHeader { run_id: RUN, first: 4, mark: MARK }.write();
        let path = Path::new(DIR).join(segment::name(4));
        for content in [bytes.clone(), [&whole[..], &bytes].concat()] {
            replace(&disk, &path, &content).unwrap();
            prop_assert_eq!(scan(&disk).entries.len(), 0);
        }
    }
}

/// These bytes are documented in `docs/store.md`; a change is a new format.
#[test]
fn golden_bytes() {
    let header = SegmentHeader {
        run_id: RUN,
        first: 258,
        mark: MARK,
    };
    assert_eq!(
        hex(&header.write()),
        "544142534c4f470a020000000700000002010000000000006d61726b6d61726b000000008e6d86bf"
    );
    let mut encoder = Encoder::default();
    let entry = step(3);
    let sums = AppliedSums::Exact(vec![1, -1, 300]);
    let record = encoder.entry(MARK, &entry, Some(&sums), 2).unwrap();
    assert_eq!(
        hex(record),
        "6d61726b6d61726b59000000050000000300000000000000020000000000000001010000ab779f9400000000cb92868b0300080a090203fc9a9999999999b93f09090909090909090909090909090909090909090909090909090909090909090202fc0200ac02010101010101010101010101010101010101010101010101010101010101010101080a02048025"
    );
    assert_eq!(
        hex(encoder.sync(MARK, 3)),
        "6d61726b6d61726b000000000000000003000000000000000300000000000000040000000000000000000000f1acb416"
    );
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn a_newer_segment_is_refused_and_another_runs_too() {
    let disk = FaultyDisk::new(1);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let header = SegmentHeader {
        run_id: RunId(8),
        first: 1,
        mark: MARK,
    };
    let path = Path::new(DIR).join(segment::name(1));
    replace(&disk, &path, &header.write()).unwrap();
    let error = reader::scan(&disk, Path::new(DIR), RUN).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    let mut newer = header.write();
    newer[8] = 3;
    let crc = crc32fast::hash(&newer[..36]);
    newer[36..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(SegmentHeader::parse(&newer), Beginning::Newer(3));
    replace(&disk, &path, &newer).unwrap();
    let message = reader::scan(&disk, Path::new(DIR), RUN)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("format 3") && message.contains(".log"),
        "{message}"
    );
}

#[test]
fn segments_follow_each_other_and_go_behind_a_snapshot() {
    let disk = FaultyDisk::new(1);
    let mut log = log(&disk, 500);
    for sequence in 1..=20 {
        log.append(&step(sequence), None).unwrap();
        assert_eq!(log.durable(), sequence - 1);
        assert_eq!(log.sync().unwrap(), sequence);
    }
    let all = scan(&disk);
    assert!(all.segments.len() > 3, "{:?}", all.segments);
    assert_eq!(all.chain(0).count(), 20);
    assert_eq!(all.entry(20), Some(&step(20)));
    assert!(all.bad.is_empty());
    log.remove_behind(11).unwrap();
    let rest = scan(&disk);
    assert!(rest.segments[0] > 1 && rest.segments[0] <= 12 && rest.segments[1] > 12);
    assert_eq!(rest.chain(11).count(), 9);
    let error = log.append(&step(22), None).unwrap_err();
    assert!(matches!(error, StoreError::Sequence { last: 20, got: 22 }));
}

#[test]
fn many_entries_share_a_sync_and_a_seal_covers_the_last() {
    let disk = FaultyDisk::new(1);
    let mut log = log(&disk, 1 << 20);
    for sequence in 1..=9 {
        log.append(&step(sequence), None).unwrap();
    }
    let before = disk.operations();
    assert_eq!(log.sync().unwrap(), 9);
    assert_eq!(log.sync().unwrap(), 9);
    assert_eq!(disk.operations(), before + 1);
    assert_eq!(scan(&disk).proved, 0);
    assert_eq!(log.seal().unwrap(), 9);
    let sealed = disk.operations();
    log.seal().unwrap();
    assert_eq!(disk.operations(), sealed);
    assert_eq!(scan(&disk).proved, 9);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_it_is_written_again() {
    let disk = FaultyDisk::new(1);
    let mut log = log(&disk, 1 << 20);
    log.append(&step(1), None).unwrap();
    log.sync().unwrap();
    log.append(&step(2), None).unwrap();
    disk.plan(Some(FaultPlan {
        first: disk.operations(),
        count: 1,
        fault: Fault::SyncError,
    }));
    assert!(matches!(log.sync(), Err(StoreError::Io { .. })));
    for _ in 0..3 {
        let message = log.sync().unwrap_err().to_string();
        assert!(
            message.contains("input/output error") && message.contains(DIR),
            "{message}"
        );
    }
    assert!(matches!(
        log.append(&step(3), None),
        Err(StoreError::Degraded { .. })
    ));
    assert_eq!(log.reopen_after_failure().unwrap(), 1);
    log.append(&step(2), None).unwrap();
    assert_eq!(log.sync().unwrap(), 2);
    disk.power_cut();
    assert_eq!(scan(&disk).chain(0).count(), 2);
    assert_eq!(disk.misuses(), 0);
}

/// The new segment may be there or not: if the old one took more, that might not count.
#[test]
fn a_rotation_that_fails_half_way_degrades_the_log() {
    for seed in 0..10 {
        let disk = FaultyDisk::new(seed);
        let mut log = log(&disk, 1);
        log.append(&step(1), None).unwrap();
        // A sync of the file; then exists, create, write, write, sync, rename and sync of the folder.
        disk.plan(Some(FaultPlan {
            first: disk.operations() + 7,
            count: 1,
            fault: Fault::SyncError,
        }));
        assert_eq!(log.sync().unwrap(), 1);
        assert!(log.is_degraded());
        assert!(matches!(
            log.append(&step(2), None),
            Err(StoreError::Degraded { .. })
        ));
        assert_eq!(log.reopen_after_failure().unwrap(), 1);
        log.append(&step(2), None).unwrap();
        assert_eq!(log.sync().unwrap(), 2);
        disk.power_cut();
        assert_eq!(scan(&disk).chain(0).count(), 2);
    }
}

/// A worker's update can hold any bytes, those of a record too.
#[test]
fn a_record_in_an_update_is_not_taken_for_one() {
    for planted_mark in [MARK, segment::mark(5, 1)] {
        let disk = FaultyDisk::new(1);
        let mut log = log(&disk, 1 << 20);
        let mut encoder = Encoder::default();
        let mut planted = encoder.sync(planted_mark, 1_000).to_vec();
        planted.resize(planted.len().next_multiple_of(4), 0);
        let words = planted.as_chunks().0;
        let sums = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        log.append(&step(1), Some(&AppliedSums::F32(sums))).unwrap();
        log.append(&step(2), None).unwrap();
        log.sync().unwrap();
        let path = Path::new(DIR).join(segment::name(1));
        disk.flip_bit(&path, (segment::HEADER_BYTES + 20) * 8);
        // Only who knows the segment's mark could do it.
        let is_fooled = scan(&disk).proved == 1_000;
        assert_eq!(is_fooled, planted_mark != MARK);
    }
}

#[test]
fn a_damaged_header_costs_nothing() {
    let disk = FaultyDisk::new(1);
    let mut log = log(&disk, 1 << 20);
    log.append(&step(1), None).unwrap();
    log.seal().unwrap();
    for bit in 0..segment::HEADER_BYTES * 8 {
        let disk = disk.fork(1);
        disk.flip_bit(&Path::new(DIR).join(segment::name(1)), bit);
        let scan = scan(&disk);
        assert_eq!((scan.chain(0).count(), scan.bad.len()), (1, 1), "bit {bit}");
    }
}

/// A disk on which a file goes between the list and the reading, as the segments behind a new snapshot do.
#[derive(Debug)]
struct Shrinking {
    disk: FaultyDisk,
    goes: PathBuf,
}

impl Disk for Shrinking {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == self.goes && self.disk.exists(path)? {
            self.disk.remove_file(path)?;
        }
        self.disk.read(path)
    }

    fn read_range(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.disk.read_range(path, offset, len)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create_new(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
}

#[test]
fn a_segment_that_goes_while_the_log_is_read_is_not_missed() {
    let disk = FaultyDisk::new(1);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let path = |first| Path::new(DIR).join(segment::name(first));
    for first in [1, 4] {
        let header = SegmentHeader {
            run_id: RUN,
            first,
            mark: MARK,
        };
        replace(&disk, &path(first), &header.write()).unwrap();
    }
    assert_eq!(scan(&disk).segments, [1, 4]);
    let goes = path(1);
    let shrinking = Shrinking { disk, goes };
    let scan = reader::scan(&shrinking, Path::new(DIR), RUN).unwrap();
    assert_eq!(scan.segments, [4]);
}
