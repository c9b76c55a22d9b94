use super::{End, Message};

const MESSAGES: [Message; 10] = [
    Message::Ready,
    Message::Failed {
        step: 7,
        errno: 1,
        detail: 3 | Message::NO_INTERPRETER,
    },
    Message::Failed {
        step: u32::MAX,
        errno: -1,
        detail: 0,
    },
    Message::Started,
    Message::Ended(End::Code(255)),
    Message::Ended(End::Signal(9)),
    Message::Console,
    Message::Listener,
    Message::Forked { pid: 4_194_303 },
    Message::Hooks,
];

#[test]
fn every_message_is_read_as_it_was_written() {
    for message in MESSAGES {
        assert_eq!(Message::from_bytes(&message.to_bytes()), Some(message));
    }
}

#[test]
fn nothing_else_is_a_message() {
    for kind in (0u32..100).chain([u32::MAX]) {
        for field in [1, 2, u32::MAX] {
            for place in 1..4 {
                let mut words = [kind, 0, 0, 0];
                words[place] = field;
                let mut bytes = [0; Message::LENGTH];
                for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
                    chunk.copy_from_slice(&word.to_ne_bytes());
                }
                // What is read is just what would be written.
                let read = Message::from_bytes(&bytes).map(Message::to_bytes);
                assert!(read.is_none_or(|again| again == bytes), "{words:?}");
                if !(1..=8).contains(&kind) {
                    assert_eq!(read, None, "{words:?}");
                }
            }
        }
    }
    assert_eq!(Message::from_bytes(&[0; Message::LENGTH]), None);
}
