#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;

/// The bytes of numbers of this machine's order.
fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Two numbers of 16 bits, as they stand one after the other.
fn pair(first: u16, second: u16) -> u32 {
    let ([a, b], [c, d]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

#[test]
fn a_move_is_one_message() {
    let request = Request::new(RTM_NEWLINK, NLM_F_ACK, &link_header(7, 0));
    let request = request.attribute(IFLA_NET_NS_FD, &9u32.to_ne_bytes());
    let message = request.unwrap().name("lan0").unwrap().finish(3).unwrap();
    let mut expected = bytes(&[52, pair(16, 5), 3, 0]);
    expected.extend(bytes(&[0, 7, 0, 0, pair(8, 28), 9, pair(9, 3)]));
    expected.extend(b"lan0\0\0\0\0");
    assert_eq!(message, expected);
    let up = Request::new(RTM_NEWLINK, NLM_F_ACK, &link_header(7, IFF_UP));
    let expected = bytes(&[32, pair(16, 5), 4, 0, 0, 7, 1, 1]);
    assert_eq!(up.finish(4).unwrap(), expected);
}

#[test]
fn a_value_that_is_too_long_is_refused() {
    let request = || Request::new(RTM_NEWLINK, 0, &[]);
    assert!(request().attribute(1, &[0; 65_531]).is_ok());
    let refused = request().attribute(1, &[0; 65_532]);
    assert_eq!(refused.unwrap_err(), Errno::MSGSIZE);
}

/// An address as the kernel tells it: 10.0.0.1/24 with a label, on the device 7.
fn told(scope: u8, flags: u32) -> Vec<u8> {
    let mut body = vec![2, 24, 0x80, scope];
    body.extend(bytes(&[7, pair(8, 1)]));
    body.extend([10, 0, 0, 1]);
    body.extend(bytes(&[pair(9, 3)]));
    body.extend(b"eth0\0\0\0\0");
    body.extend(bytes(&[pair(8, 8), flags]));
    body
}

#[test]
fn a_lasting_address_is_said_again_without_the_kernels_findings() {
    // Permanent, secondary, tentative and without a route.
    let address = parse_address(&told(0, 0x80 | 0x01 | 0x40 | 0x200), 7);
    let address = address.unwrap().unwrap();
    let message = address.request(300).unwrap().finish(1).unwrap();
    let mut expected = bytes(&[40, pair(20, 0x605), 1, 0]);
    expected.extend([2, 24, 0, 0]);
    expected.extend(bytes(&[300, pair(8, 1)]));
    expected.extend([10, 0, 0, 1]);
    expected.extend(bytes(&[pair(8, 8), 0x200]));
    assert_eq!(message, expected);
    for (scope, flags, device) in [(253, 0x80, 7), (0, 0, 7), (0, 0x80, 8)] {
        let other = parse_address(&told(scope, flags), device);
        assert_eq!(other, Ok(None), "{scope} {flags} {device}");
    }
}

#[test]
fn lengths_that_do_not_fit_are_noticed() {
    let whole = bytes(&[24, pair(2, 0), 5, 0, 1, 2, 20, pair(3, 0x10), 5, 0, 9]);
    let kinds = |bytes: &[u8]| parse(bytes).map(|all| all.iter().map(|one| one.kind).collect());
    assert_eq!(kinds(&whole), Ok(vec![2, 3]));
    for cut in (1..whole.len()).filter(|cut| *cut != 24) {
        assert_eq!(kinds(&whole[..cut]), Err(Errno::BADMSG), "{cut}");
    }
    for length in [0, 15, 45, u32::MAX] {
        let message = bytes(&[length, pair(2, 0), 5, 0, 1, 2]);
        assert_eq!(kinds(&message), Err(Errno::BADMSG), "{length}");
    }
    for length in [0, 3, 9, u16::MAX] {
        let attribute = bytes(&[pair(length, 1), 7]);
        assert_eq!(attributes(&attribute), Err(Errno::BADMSG), "{length}");
    }
    // The padding of the last one may be missing, and a kind has two bits that are none of it.
    let attribute = [&bytes(&[pair(5, 0x8001)])[..], b"x"].concat();
    assert_eq!(attributes(&attribute), Ok(vec![(1, &b"x"[..])]));
}

#[test]
fn an_answer_ends_with_a_verdict() {
    assert_eq!(verdict(&0i32.to_ne_bytes()), Ok(()));
    assert_eq!(verdict(&(-19i32).to_ne_bytes()), Err(Errno::NODEV));
    for none in [1, -4096, i32::MIN] {
        assert_eq!(verdict(&none.to_ne_bytes()), Err(Errno::BADMSG), "{none}");
    }
    assert_eq!(verdict(&[0, 0]), Err(Errno::BADMSG));
}

/// Anybody may ask.
#[test]
fn the_kernel_answers() {
    let mut socket = Socket::new().unwrap();
    assert_eq!(socket.link("lo").unwrap().index, 1);
    assert_eq!(socket.link("not-there"), Err(Errno::NODEV));
    // Those of the loopback device are the host's alone.
    for address in socket.lasting_addresses(1).unwrap() {
        let local = |kind: u16, value: &[u8]| kind != IFA_LOCAL || value[0] != 127;
        let mut attributes = address.attributes.iter();
        assert!(
            attributes.all(|(kind, value)| local(*kind, value)),
            "{address:?}"
        );
    }
}

/// A fuzz target: datagrams of the kernel's, or of whoever administers the network namespace. What is
/// read of them is in them, and an address can be said again.
pub(crate) fn target(input: &[u8]) -> u64 {
    let mut seen = 0;
    if let Ok(messages) = parse(input) {
        let length: usize = messages.iter().map(|it| it.body.len() + 16).sum();
        assert!(length <= input.len() + 3, "no byte is read twice");
        seen += 10 + messages.len() as u64;
        for message in &messages {
            seen += u64::from(verdict(&message.body).is_ok());
            seen += u64::from(parse_link(&message.body).is_ok());
        }
    }
    match parse_address(input, 7) {
        Ok(Some(address)) => {
            let request = address.request(7).unwrap().finish(1).unwrap();
            let [message] = &parse(&request).unwrap()[..] else {
                panic!("one request is one message");
            };
            // Without a lifetime it is permanent when the kernel has it.
            let said = parse_address(&message.body, 7);
            assert!(
                said.unwrap()
                    .is_none_or(|again| again.attributes == address.attributes)
            );
            seen + 1000
        }
        Ok(None) => seen + 2000,
        Err(_) => seen,
    }
}

#[test]
fn fuzz_netlink() {
    let mut datagram = bytes(&[16, pair(3, 0), 1, 0]);
    datagram.extend(bytes(&[20, pair(2, 0), 1, 0, 0]));
    let mut address = bytes(&[52, pair(20, 2), 1, 0]);
    address.extend(told(0, 0x80));
    let corpus = [&datagram[..], &address, &told(0, 0x80)];
    crate::driver::fuzz("netlink", &corpus, &[], target);
}
