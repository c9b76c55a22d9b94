//! Every public function, and every way in which a peer can misbehave. Needs no privilege.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs::File;
use std::io::{IoSlice, Read as _, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use crabcan_ipc::{Channel, ChildEnd, Error, socketpair};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// Sends what this crate would never send.
fn send_raw(to: &impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    let flags = SendFlags::NOSIGNAL;
    rustix::net::sendmsg(to, &[IoSlice::new(bytes)], &mut control, flags).unwrap();
}

/// A pipe whose writing end is to be lost on the way: reading its end proves that it was closed.
fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (File::from(OwnedFd::from(reader)), writer.into())
}

fn assert_closed_everywhere(mut reader: File) {
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    assert_eq!(
        reader.read(&mut [0]).unwrap(),
        0,
        "a copy of the writing end is still open"
    );
}

fn is_close_on_exec(descriptor: impl AsFd) -> bool {
    rustix::io::fcntl_getfd(descriptor)
        .unwrap()
        .contains(rustix::io::FdFlags::CLOEXEC)
}

#[test]
fn booleans_arrive_in_both_directions_and_in_order() {
    let (parent, child) = socketpair().unwrap();
    parent.send_boolean(true).unwrap();
    parent.send_boolean(false).unwrap();
    child.send_boolean(true).unwrap();
    assert!(child.recv_boolean().unwrap());
    assert!(!child.recv_boolean().unwrap());
    assert!(parent.recv_boolean().unwrap());
}

#[test]
fn ends_are_close_on_exec() {
    let (parent, child) = socketpair().unwrap();
    assert!(is_close_on_exec(&parent));
    assert!(is_close_on_exec(&child));
}

#[test]
fn end_of_channel_is_an_error_and_never_a_value() {
    let (parent, child) = socketpair().unwrap();
    child.send_boolean(true).unwrap();
    drop(child);
    assert!(
        parent.recv_boolean().unwrap(),
        "what was sent before still arrives"
    );
    for _ in 0..2 {
        assert!(matches!(parent.recv_boolean(), Err(Error::Closed)));
        assert!(matches!(parent.recv_record::<4>(), Err(Error::Closed)));
        assert!(matches!(
            parent.recv_record_with_fd::<4>(),
            Err(Error::Closed)
        ));
        assert!(matches!(parent.send_boolean(true), Err(Error::Closed)));
    }
}

#[test]
fn an_empty_packet_counts_as_the_end() {
    let (parent, child) = socketpair().unwrap();
    send_raw(&child, &[], &[]);
    assert!(matches!(parent.recv_boolean(), Err(Error::Closed)));
}

#[test]
fn last_words_of_a_peer_that_left_unread_packets_still_arrive() {
    let (parent, child) = socketpair().unwrap();
    parent.send_boolean(true).unwrap();
    child.send_record(&[7; 8]).unwrap();
    drop(child);
    assert_eq!(parent.recv_record().unwrap(), [7; 8]);
    assert!(matches!(parent.recv_boolean(), Err(Error::Closed)));
}

#[test]
fn sending_to_a_peer_that_left_unread_packets_is_closed() {
    let (parent, child) = socketpair().unwrap();
    parent.send_boolean(true).unwrap();
    drop(child);
    for _ in 0..3 {
        assert!(matches!(parent.send_boolean(true), Err(Error::Closed)));
    }
}

#[test]
fn a_boolean_has_one_byte_of_value_zero_or_one() {
    let (parent, child) = socketpair().unwrap();
    child.send_record(&[2]).unwrap();
    assert!(matches!(
        parent.recv_boolean(),
        Err(Error::NotABoolean { value: 2 })
    ));
    child.send_record(&[1, 1]).unwrap();
    assert!(matches!(
        parent.recv_boolean(),
        Err(Error::Length {
            expected: 1,
            received: 2
        })
    ));
    child.send_boolean(true).unwrap();
    assert!(parent.recv_boolean().unwrap(), "the channel stays usable");
}

#[test]
fn a_record_has_exactly_its_size() {
    let (parent, child) = socketpair().unwrap();
    for (length, fits) in [(1, false), (7, false), (8, true), (9, false), (5000, false)] {
        send_raw(&child, &vec![3; length], &[]);
        match parent.recv_record::<8>() {
            Ok(record) => assert!(fits && record == [3; 8]),
            Err(Error::Length {
                expected: 8,
                received,
            }) => assert!(!fits && received == length),
            Err(error) => panic!("{error}"),
        }
    }
    send_raw(&child, &[3; 9], &[]);
    let error = parent.recv_record_with_fd::<8>().unwrap_err();
    assert!(matches!(
        error,
        Error::Length {
            expected: 8,
            received: 9
        }
    ));
}

#[test]
fn a_descriptor_arrives_and_is_close_on_exec() {
    let (parent, child) = socketpair().unwrap();
    let (mut reader, writer) = pipe();
    child.send_record_with_fd(b"pipe", writer.as_fd()).unwrap();
    drop(writer);
    let (record, received) = parent.recv_record_with_fd().unwrap();
    assert_eq!(&record, b"pipe");
    let received = received.unwrap();
    assert!(is_close_on_exec(&received));
    File::from(received).write_all(b"through").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
}

#[test]
fn a_record_may_come_without_its_descriptor() {
    let (parent, child) = socketpair().unwrap();
    child.send_record(b"none").unwrap();
    let (record, descriptor) = parent.recv_record_with_fd().unwrap();
    assert_eq!((&record, descriptor.is_none()), (b"none", true));
}

#[test]
fn an_unexpected_descriptor_is_refused_and_closed() {
    let (parent, child) = socketpair().unwrap();
    let (reader, writer) = pipe();
    child.send_record_with_fd(&[1], writer.as_fd()).unwrap();
    drop(writer);
    assert!(matches!(parent.recv_boolean(), Err(Error::Foreign)));
    assert_closed_everywhere(reader);
}

#[test]
fn descriptors_are_closed_on_every_refusal() {
    let (parent, child) = socketpair().unwrap();
    for (bytes, copies) in [(3, 1), (5, 1), (4, 2), (4, 5)] {
        let (reader, writer) = pipe();
        send_raw(&child, &[9; 5][..bytes], &vec![writer.as_fd(); copies]);
        drop(writer);
        let error = parent.recv_record_with_fd::<4>().unwrap_err();
        match (bytes, copies) {
            (4, 2) => assert!(matches!(
                error,
                Error::TooManyDescriptors { descriptors: 2 }
            )),
            (4, _) => assert!(matches!(error, Error::AttachmentLost)),
            _ => assert!(matches!(error, Error::Length { .. })),
        }
        assert_closed_everywhere(reader);
    }
}

#[test]
fn credentials_are_foreign() {
    let (parent, child) = socketpair().unwrap();
    rustix::net::sockopt::set_socket_passcred(&parent, true).unwrap();
    child.send_boolean(true).unwrap();
    assert!(matches!(parent.recv_boolean(), Err(Error::Foreign)));
    child.send_boolean(true).unwrap();
    assert!(parent.recv_record_with_fd::<1>().is_err());
}

#[test]
fn a_record_that_is_too_large_names_its_size() {
    let (parent, _child) = socketpair().unwrap();
    let record = [0; 512 << 10];
    let error = parent.send_record(&record).unwrap_err();
    let Error::Send { length, source } = &error else {
        panic!("{error}")
    };
    assert_eq!(*length, 512 << 10);
    assert_eq!(
        source.raw_os_error(),
        Some(rustix::io::Errno::MSGSIZE.raw_os_error())
    );
    assert_eq!(error.to_string(), "send a packet of 524288 bytes");
}

#[test]
fn a_descriptor_can_become_an_end_and_back() {
    let (parent, child) = socketpair().unwrap();
    let number = child.as_fd().as_raw_fd();
    let descriptor = OwnedFd::from(child);
    assert_eq!(descriptor.as_raw_fd(), number);
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::empty()).unwrap();
    let child = ChildEnd::try_from(descriptor).unwrap();
    assert!(is_close_on_exec(&child));
    child.send_boolean(true).unwrap();
    assert!(parent.recv_boolean().unwrap());
    let parent = Channel::try_from(OwnedFd::from(parent)).unwrap();
    child.send_boolean(false).unwrap();
    assert!(!parent.recv_boolean().unwrap());
}

#[test]
fn other_descriptors_do_not_become_ends() {
    let file = File::open("/dev/null").unwrap();
    assert!(matches!(
        Channel::try_from(OwnedFd::from(file)),
        Err(Error::Adopt { .. })
    ));
    let (datagram, _other) = UnixDatagram::pair().unwrap();
    assert!(matches!(
        Channel::try_from(OwnedFd::from(datagram)),
        Err(Error::NotAChannel)
    ));
}

#[test]
fn a_thread_blocked_in_receive_notices_the_end() {
    let (parent, child) = socketpair().unwrap();
    let waiting = std::thread::spawn(move || parent.recv_boolean());
    std::thread::sleep(std::time::Duration::from_millis(20));
    drop(child);
    assert!(matches!(waiting.join().unwrap(), Err(Error::Closed)));
}

#[test]
fn nothing_leaks_when_a_descriptor_was_never_received() {
    let (parent, child) = socketpair().unwrap();
    let (reader, writer) = pipe();
    child.send_record_with_fd(&[1], writer.as_fd()).unwrap();
    drop((writer, parent, child));
    assert_closed_everywhere(reader);
}

#[test]
fn a_file_keeps_its_offset_when_sent() {
    let (parent, child) = socketpair().unwrap();
    let mut file = File::open("/proc/self/status").unwrap();
    file.seek(std::io::SeekFrom::Start(5)).unwrap();
    child.send_record_with_fd(&[0], file.as_fd()).unwrap();
    let (_, received) = parent.recv_record_with_fd::<1>().unwrap();
    assert_eq!(File::from(received.unwrap()).stream_position().unwrap(), 5);
}
