//! Tests and answers as a graph, and the graph as BPF.
//!
//! Equal nodes are one node, so equal actions, conditions and rests of rules are shared. A node is
//! made after those it leads to and has the larger number; writing them out in this order, last
//! instruction first, makes every jump's length known when it is written.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::filter::{Instruction, MAX_INSTRUCTIONS};
use crate::{Architecture, Error};

/// A word of the kernel's `struct seccomp_data`, by its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Word(pub(crate) u32);

impl Word {
    pub(crate) const NUMBER: Self = Self(0);
    pub(crate) const ARCHITECTURE: Self = Self(4);

    /// The lower half of an argument, and the upper one where the architecture has it.
    pub(crate) fn halves(argument: u32, architecture: Architecture) -> (Self, Option<Self>) {
        let (first, second) = (Self(16 + 8 * argument), Self(20 + 8 * argument));
        let (lower, upper) = match architecture.little_endian() {
            true => (first, second),
            false => (second, first),
        };
        (lower, (architecture.argument_bits() == 64).then_some(upper))
    }
}

/// What a word is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// Is it this?
    Eq(u32),
    /// Is it greater?
    Gt(u32),
    /// Is it this or greater?
    Ge(u32),
    /// Is any of these bits set?
    Any(u32),
    /// Are the bits of the mask (first) these?
    Masked(u32, u32),
}

/// A question with two outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    word: Word,
    ask: Ask,
}

impl Ask {
    /// The answer for a word that is always zero.
    pub(crate) fn of_zero(self) -> bool {
        match self {
            Self::Eq(value) | Self::Ge(value) | Self::Masked(_, value) => value == 0,
            Self::Gt(_) | Self::Any(_) => false,
        }
    }
}

/// A node of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    Return(u32),
    Test {
        question: Question,
        yes: NodeId,
        no: NodeId,
    },
}

/// A node, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

/// How far an answer is carried into the questions behind it.
const CARRY: u32 = 48;
/// A graph with more nodes would never become a program that the kernel takes.
const MAX_NODES: usize = 1 << 16;

/// A quick hash; a profile chosen to collide only slows down its own compilation.
#[derive(Debug, Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, word: u32) {
        let mixed = (self.0.rotate_left(5) ^ u64::from(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_isize(&mut self, word: isize) {
        // The discriminants of enums.
        self.write_u32(word as u32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The graph.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    known: HashMap<Node, NodeId, BuildHasherDefault<Mixer>>,
}

impl Graph {
    /// The node that ends with this.
    pub(crate) fn give(&mut self, value: u32) -> NodeId {
        self.intern(Node::Return(value))
    }

    /// The node that asks a word. What is settled by the answer is not asked again behind it.
    pub(crate) fn test(&mut self, word: Word, ask: Ask, yes: NodeId, no: NodeId) -> NodeId {
        let question = Question { word, ask };
        let yes = self.settle(yes, question, true, CARRY);
        let no = self.settle(no, question, false, CARRY);
        self.join(question, yes, no)
    }

    /// The node that asks a word, where nothing behind it is known to ask the same.
    pub(crate) fn fork(&mut self, word: Word, ask: Ask, yes: NodeId, no: NodeId) -> NodeId {
        self.join(Question { word, ask }, yes, no)
    }

    /// Fails when the graph has become too large to go on.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.nodes.len() > MAX_NODES {
            return Err(Error::TooLong {
                instructions: MAX_INSTRUCTIONS + 1,
            });
        }
        Ok(())
    }

    fn join(&mut self, question: Question, yes: NodeId, no: NodeId) -> NodeId {
        match question.ask {
            Ask::Ge(0) | Ask::Masked(0, 0) => yes,
            Ask::Gt(u32::MAX) | Ask::Any(0) => no,
            _ if yes == no => yes,
            _ => self.intern(Node::Test { question, yes, no }),
        }
    }

    fn intern(&mut self, node: Node) -> NodeId {
        if let Some(known) = self.known.get(&node) {
            return *known;
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(node);
        self.known.insert(node, id);
        id
    }

    /// The node as it is when the answer to a question is known already.
    fn settle(&mut self, node: NodeId, asked: Question, answer: bool, carry: u32) -> NodeId {
        let Node::Test { question, yes, no } = self.nodes[node.0 as usize] else {
            return node;
        };
        if question == asked {
            return if answer { yes } else { no };
        }
        // Questions of a later argument have nothing to say of this one, but what follows may.
        if carry == 0 {
            return node;
        }
        let settled_no = self.settle(no, asked, answer, carry - 1);
        // The chains of rules grow along `no`; following both would take exponential time.
        let settled_yes = self.settle(yes, asked, answer, carry.min(4) - 1);
        if settled_yes == yes && settled_no == no {
            return node;
        }
        self.join(question, settled_yes, settled_no)
    }

    /// The program that begins with a node.
    pub(crate) fn write(&self, root: NodeId) -> Result<Vec<Instruction>, Error> {
        let needs = self.needs(root);
        let mut writer = Writer {
            backwards: Vec::with_capacity(256),
            places: vec![Place::default(); root.0 as usize + 1],
        };
        for (at, need) in needs.iter().enumerate() {
            if !need.reached {
                continue;
            }
            let place = match self.nodes[at] {
                Node::Return(value) => writer.give(value),
                Node::Test { question, yes, no } => {
                    self.write_test(&mut writer, question, [yes, no], need.load)
                }
            };
            writer.places[at] = place;
        }
        let mut program = writer.backwards;
        program.reverse();
        if program.len() > MAX_INSTRUCTIONS {
            return Err(Error::TooLong {
                instructions: program.len(),
            });
        }
        Ok(program)
    }

    /// Which nodes are reached at all, and which have to load their word.
    fn needs(&self, root: NodeId) -> Vec<Need> {
        let mut needs = vec![Need::default(); root.0 as usize + 1];
        needs[root.0 as usize] = Need {
            reached: true,
            load: true,
        };
        for at in (0..needs.len()).rev() {
            if let (true, Node::Test { question, yes, no }) = (needs[at].reached, self.nodes[at]) {
                for next in [yes, no] {
                    let load = !self.goes_on(question, next);
                    let need = &mut needs[next.0 as usize];
                    need.reached = true;
                    need.load |= load;
                }
            }
        }
        needs
    }

    /// Whether the next node asks the word that the question leaves in the accumulator.
    fn goes_on(&self, question: Question, next: NodeId) -> bool {
        let masked = matches!(question.ask, Ask::Masked(..));
        match self.nodes[next.0 as usize] {
            Node::Test { question: next, .. } => next.word == question.word && !masked,
            Node::Return(_) => false,
        }
    }

    fn write_test(
        &self,
        writer: &mut Writer,
        question: Question,
        ways: [NodeId; 2],
        load: bool,
    ) -> Place {
        let (test, k, mask) = match question.ask {
            Ask::Eq(k) => (libc::BPF_JEQ, k, None),
            Ask::Gt(k) => (libc::BPF_JGT, k, None),
            Ask::Ge(k) => (libc::BPF_JGE, k, None),
            Ask::Any(k) => (libc::BPF_JSET, k, None),
            Ask::Masked(mask, k) => (libc::BPF_JEQ, k, Some(mask)),
        };
        let targets = ways.map(|way| {
            let place = writer.places[way.0 as usize];
            if self.goes_on(question, way) {
                (way, place.loaded)
            } else {
                (way, place.start)
            }
        });
        writer.jump(test, k, targets, &self.nodes);
        if let Some(mask) = mask {
            writer.push(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask);
        }
        let loaded = writer.backwards.len();
        if load {
            let offset = question.word.0;
            writer.push(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
        }
        Place {
            start: writer.backwards.len(),
            loaded,
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Need {
    reached: bool,
    load: bool,
}

/// Where a node begins, counted from the program's end: with and without the load of its word.
#[derive(Clone, Copy, Default)]
struct Place {
    start: usize,
    loaded: usize,
}

struct Writer {
    backwards: Vec<Instruction>,
    places: Vec<Place>,
}

/// The longest conditional jump.
const FAR: usize = u8::MAX as usize;

impl Writer {
    fn push(&mut self, code: u32, yes: u8, no: u8, k: u32) {
        self.backwards.push(Instruction {
            code: code as u16,
            jt: yes,
            jf: no,
            k,
        });
    }

    fn give(&mut self, value: u32) -> Place {
        self.push(libc::BPF_RET | libc::BPF_K, 0, 0, value);
        let start = self.backwards.len();
        Place {
            start,
            loaded: start,
        }
    }

    /// Writes a conditional jump, with a stop on the way to each target that is too far.
    fn jump(&mut self, test: u32, k: u32, targets: [(NodeId, usize); 2], nodes: &[Node]) {
        let [mut yes, mut no] = targets;
        // Writing the first stop may push the other target out of reach by one.
        for _ in 0..2 {
            for (node, place) in [&mut yes, &mut no] {
                if self.backwards.len() - *place > FAR {
                    *place = self.stop(*node, *place, nodes);
                }
            }
        }
        let here = self.backwards.len();
        // Both differences are at most FAR after the loop above.
        let [yes, no] = [yes, no].map(|(_, place)| (here - place) as u8);
        self.push(libc::BPF_JMP | test | libc::BPF_K, yes, no, k);
    }

    /// A nearer place that leads to the same: another copy of an answer, or a long jump.
    fn stop(&mut self, node: NodeId, place: usize, nodes: &[Node]) -> usize {
        if let Node::Return(value) = nodes[node.0 as usize] {
            let copy = self.give(value);
            self.places[node.0 as usize] = copy;
            return copy.start;
        }
        // A program is shorter than 2^32 instructions: there are fewer nodes than that.
        let length = (self.backwards.len() - place) as u32;
        self.push(libc::BPF_JMP | libc::BPF_JA, 0, 0, length);
        self.backwards.len()
    }
}
