//! What the fuzz targets do with bytes: run by `../fuzz.rs`, and under cargo-fuzz by `../../fuzz`.

use crabcan_ns::{IdMap, IdRange, SubordinateIds};

/// Ranges of numbers, twelve bytes each: what is accepted maps every id to one.
pub(crate) fn idmap(bytes: &[u8]) -> u64 {
    let words: Vec<u32> = bytes
        .chunks_exact(4)
        .map(|word| u32::from_ne_bytes(word.try_into().unwrap()))
        .collect();
    let ranges: Vec<IdRange> = words
        .chunks_exact(3)
        .map(|three| IdRange {
            inside: three[0],
            outside: three[1],
            count: three[2],
        })
        .collect();
    let Ok(map) = IdMap::new(ranges.iter().copied()) else {
        return 0;
    };
    assert_eq!(map.ranges(), ranges, "what is accepted is as it was given");
    assert_eq!(map.to_string().lines().count(), ranges.len());
    for range in &ranges {
        for id in [range.inside, range.inside + (range.count - 1)] {
            let outside = map.outside(id).unwrap();
            assert_eq!(outside - range.outside, id - range.inside);
            assert!(id < u32::MAX && outside < u32::MAX, "-1 is no id");
        }
    }
    ranges.len() as u64
}

/// A file like `/etc/subuid`: no range reaches beyond the last id.
pub(crate) fn subordinate(bytes: &[u8]) -> u64 {
    let Ok(ids) = SubordinateIds::parse(bytes, Some("alice"), 1000) else {
        return 0;
    };
    for (start, count) in ids.ranges() {
        assert!(start.checked_add(*count).is_some());
    }
    for first in [0, 1, u32::MAX - 1] {
        let mapped = ids.mapped_from(first);
        let sum: u64 = mapped.iter().map(|range| u64::from(range.count)).sum();
        assert!(u64::from(first) + sum <= u64::from(u32::MAX));
    }
    1 + ids.ranges().len() as u64
}
