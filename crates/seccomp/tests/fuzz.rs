//! A short look at random documents; `examples/fuzz.rs` looks for as long as one likes.

mod fuzzing;
mod interpreter;
mod plain;

use plain::Random;

#[test]
fn any_document_is_refused_by_field_or_becomes_its_filter() {
    let mut random = Random(0xf022);
    let compiled = (0..400)
        .filter(|_| fuzzing::examine(&fuzzing::input(&mut random)))
        .count();
    assert!(compiled > 150, "only {compiled} got far");
}

#[test]
fn bytes_that_are_no_document_are_refused() {
    let mut random = Random(3);
    for length in 0..200 {
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        assert!(!fuzzing::examine(&bytes));
    }
}
