#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::fake::Fake;

/// Each number is another, so that none stands for another one.
#[test]
fn what_is_counted_by_v2() {
    let files = [
        ("memory.current", "1\n"),
        ("memory.peak", "2\n"),
        ("memory.max", "3\n"),
        ("memory.swap.current", "4\n"),
        ("memory.stat", "anon 5\nfile 6\n"),
        (
            "memory.events",
            "low 7\nhigh 8\nmax 9\noom 10\noom_kill 11\n",
        ),
        (
            "cpu.stat",
            "usage_usec 12\nuser_usec 13\nsystem_usec 14\nnr_periods 15\n\
            nr_throttled 16\nthrottled_usec 17\n",
        ),
        ("pids.current", "18\n"),
        ("pids.max", "max\n"),
        ("pids.events", "max 19\n"),
        (
            "io.stat",
            "8:0 rbytes=20 wbytes=21 rios=22 wios=23 dbytes=0 dios=0\n",
        ),
    ];
    let fake = Fake::new("counted2", &files);
    let found = fake.cgroup(true).statistics().unwrap();
    let events = fake.cgroup(true).events().unwrap();
    let memory = [
        found.memory_current_bytes,
        found.memory_peak_bytes,
        found.memory_max_bytes,
        found.swap_current_bytes,
        found.memory.get("anon").copied(),
    ];
    assert_eq!(memory, [1, 2, 3, 4, 5].map(Some));
    let cpu = [
        found.cpu_usage_us,
        found.cpu_user_us,
        found.cpu_system_us,
        found.cpu_periods,
        found.cpu_throttled_periods,
        found.cpu_throttled_us,
    ];
    assert_eq!(cpu, [12, 13, 14, 15, 16, 17].map(Some));
    assert_eq!((found.pids_current, found.pids_max), (Some(18), None));
    let io = found
        .io
        .first()
        .map(|io| [io.read_bytes, io.written_bytes, io.reads, io.writes]);
    assert_eq!(io, Some([20, 21, 22, 23]));
    let struck = [
        events.memory_max,
        events.oom,
        events.oom_kill,
        events.pids_max,
    ];
    assert_eq!(struck, [9, 10, 11, 19]);
}

#[test]
fn what_is_counted_by_v1() {
    let files = [
        ("memory.usage_in_bytes", "1\n"),
        ("memory.max_usage_in_bytes", "2\n"),
        ("memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory.memsw.usage_in_bytes", "4\n"),
        ("memory.failcnt", "5\n"),
        (
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n",
        ),
        (
            "cpu.stat",
            "nr_periods 7\nnr_throttled 8\nthrottled_time 9000\n",
        ),
        ("cpuacct.usage", "10000\n"),
        ("cpuacct.usage_user", "11000\n"),
        ("cpuacct.usage_sys", "12000\n"),
        ("pids.max", "13\n"),
        ("pids.events", "max 14\n"),
    ];
    let fake = Fake::new("counted1", &files);
    let found = fake.cgroup(false).statistics().unwrap();
    let events = fake.cgroup(false).events().unwrap();
    let memory = [
        found.memory_current_bytes,
        found.memory_peak_bytes,
        found.swap_current_bytes,
    ];
    assert_eq!(memory, [1, 2, 4].map(Some));
    assert_eq!(found.memory_max_bytes, None, "no limit is a number in v1");
    let cpu = [
        found.cpu_periods,
        found.cpu_throttled_periods,
        found.cpu_throttled_us,
        found.cpu_usage_us,
        found.cpu_user_us,
        found.cpu_system_us,
    ];
    assert_eq!(cpu, [7, 8, 9, 10, 11, 12].map(Some));
    assert_eq!((found.pids_current, found.pids_max), (None, Some(13)));
    let struck = [
        events.memory_max,
        events.oom,
        events.oom_kill,
        events.pids_max,
    ];
    assert_eq!(struck, [5, 6, 6, 14]);
}

#[test]
fn io_is_read_in_both_forms() {
    let expected = IoStatistics {
        major: 8,
        minor: 16,
        read_bytes: 4096,
        written_bytes: 512,
        reads: 1,
        writes: 2,
    };
    let v2 = "8:16 rbytes=4096 wbytes=512 rios=1 wios=2 dbytes=0 dios=0\n9:0 \n";
    assert_eq!(io_of_v2(v2).first(), Some(&expected));
    let bytes = "8:16 Read 4096\n8:16 Write 512\n8:16 Total 4608\nTotal 4608\n";
    let operations = "8:16 Read 1\n8:16 Write 2\nTotal 3\n";
    assert_eq!(io_of_v1(bytes, operations), [expected]);
}

#[test]
fn page_sizes_are_named_as_in_the_files() {
    for (directory, size) in [
        ("hugepages-64kB", Some("64KB")),
        ("hugepages-2048kB", Some("2MB")),
        ("hugepages-1048576kB", Some("1GB")),
        ("x", None),
    ] {
        assert_eq!(page_size(directory).as_deref(), size);
    }
}
