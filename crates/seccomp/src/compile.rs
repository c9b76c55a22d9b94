//! From a profile to a program: the architectures, and a tree over the numbers of each.

use crate::architecture::X32_BIT;
use crate::filter::UnknownName;
use crate::outcome::Named;
use crate::policy::{self, Start};
use crate::program::{Ask, Graph, NodeId, Word};
use crate::{Action, Architecture, Error, Filter, Profile};

/// What a debugger sets to have a call skipped. It has x32's bit, but is no call of x32.
const SKIPPED: u32 = u32::MAX;

impl Profile {
    /// Makes the kernel's program of the profile.
    ///
    /// # Errors
    /// [`Error::Field`] for what makes no sense, [`Error::Native`] when the
    /// profile has no architecture and this machine's is not known, [`Error::TooLong`] for more than
    /// 4096 instructions. A name that is no system call's is no error, see [`Filter::unknown`].
    pub fn compile(&self) -> Result<Filter, Error> {
        self.check()?;
        let mut unknown = Vec::new();
        let named = Named::new(self, |rule, name| {
            unknown.push(UnknownName {
                rule,
                name: name.to_owned(),
            });
        });
        let mut graph = Graph::default();
        let mut root = graph.give(Action::KillProcess.to_return());
        let mut depth = 0;
        // Each is put in front of those before, so the one that is asked first comes last.
        for audit in self.audits()?.into_iter().rev() {
            let starts = self.starts(&mut graph, &named, audit)?;
            let (tree, levels) = tree(&mut graph, &segments(&starts));
            depth = depth.max(levels);
            root = graph.fork(Word::ARCHITECTURE, Ask::Eq(audit), tree, root);
            graph.check()?;
        }
        let program = graph.write(root)?;
        let notified = self.notified();
        Ok(Filter::new(program, self.flags, unknown, notified, depth))
    }

    /// The native calls of which a listener may be asked, in byte order; `None` where the profile
    /// has no such action at all.
    fn notified(&self) -> Option<Vec<&'static str>> {
        let notify = |action| action == Action::Notify;
        if !self.actions().any(notify) {
            return None;
        }
        let native = Architecture::native().into_iter();
        let decisions = native.flat_map(|native| self.explain_all(native));
        let asks = decisions.filter(|decision| {
            let mut cases = decision.cases.iter();
            notify(decision.otherwise) || cases.any(|case| notify(case.action))
        });
        let mut names: Vec<&str> = asks.map(|decision| decision.name).collect();
        names.dedup();
        Some(names)
    }

    /// Every action that the profile can come to.
    fn actions(&self) -> impl Iterator<Item = Action> {
        std::iter::once(self.default).chain(self.rules.iter().map(|rule| rule.action))
    }

    /// The architectures as the kernel tells them apart, the native one first.
    fn audits(&self) -> Result<Vec<u32>, Error> {
        let native = Architecture::native();
        let mut audits = Vec::new();
        if self.architectures.is_empty() {
            audits.push(native.ok_or(Error::Native)?.audit());
        }
        let native = native.map(Architecture::audit);
        let all = self.architectures.iter().map(|one| one.audit());
        let first = all.clone().filter(|audit| Some(*audit) == native);
        for audit in first.chain(all) {
            if !audits.contains(&audit) {
                audits.push(audit);
            }
        }
        Ok(audits)
    }

    /// The ranges of what the kernel calls one architecture; two of ours for x86_64.
    fn starts(&self, graph: &mut Graph, named: &Named, audit: u32) -> Result<Vec<Start>, Error> {
        let native = Architecture::native().into_iter();
        let mut ours: Vec<Architecture> = self.architectures.clone();
        if ours.is_empty() {
            ours.extend(native);
        }
        ours.retain(|one| one.audit() == audit);
        if audit != Architecture::X86_64.audit() {
            let one = ours.first().copied().ok_or(Error::Native)?;
            return policy::ranges(graph, self, named, one);
        }
        let kill = graph.give(Action::KillProcess.to_return());
        let mut starts = vec![(0, kill)];
        let mut skipped = kill;
        if ours.contains(&Architecture::X86_64) {
            starts = policy::ranges(graph, self, named, Architecture::X86_64)?;
            skipped = graph.give(self.default.to_return());
            starts.retain(|(from, _)| *from < X32_BIT);
        }
        if ours.contains(&Architecture::X32) {
            let x32 = policy::ranges(graph, self, named, Architecture::X32)?;
            let before = x32.partition_point(|(from, _)| *from <= X32_BIT) - 1;
            policy::begin(&mut starts, X32_BIT, x32[before].1);
            for (from, node) in &x32[before + 1..] {
                policy::begin(&mut starts, *from, *node);
            }
        } else {
            policy::begin(&mut starts, X32_BIT, kill);
        }
        policy::begin(&mut starts, SKIPPED, skipped);
        Ok(starts)
    }
}

/// Neighbouring ranges that one answer fits, but for single numbers.
struct Segment {
    from: u32,
    answer: NodeId,
    /// Each costs one question at the end, where two ranges more would cost two on the way.
    exceptions: Vec<(u32, NodeId)>,
    /// How often it is likely to be asked for: how many numbers it has, within bounds.
    weight: u32,
}

/// More exceptions make a shorter program with longer ways.
const MAX_EXCEPTIONS: usize = 2;
/// A range of this many numbers is as likely as can be: the last range has no end.
const MAX_WEIGHT: u32 = 64;

fn segments(starts: &[Start]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::with_capacity(starts.len());
    let mut at = 0;
    while let Some((from, answer)) = starts.get(at) {
        let end = starts.get(at + 1).map_or(u32::MAX, |next| next.0);
        let mut segment = Segment {
            from: *from,
            answer: *answer,
            exceptions: Vec::new(),
            weight: (end - from).min(MAX_WEIGHT),
        };
        at += 1;
        while let [(number, other), (after, again), ..] = starts[at..]
            && after - number == 1
            && again == *answer
            && segment.exceptions.len() < MAX_EXCEPTIONS
        {
            segment.exceptions.push((number, other));
            let end = starts.get(at + 2).map_or(u32::MAX, |next| next.0);
            segment.weight = (segment.weight + (end - number).min(MAX_WEIGHT)).min(MAX_WEIGHT);
            at += 2;
        }
        segments.push(segment);
    }
    segments
}

/// A tree over the ranges in which likely ones are near, and how many questions it asks at most.
fn tree(graph: &mut Graph, segments: &[Segment]) -> (NodeId, u32) {
    if let [] | [_] = segments {
        let Some(leaf) = segments.first() else {
            return (graph.give(Action::KillProcess.to_return()), 0);
        };
        let mut node = leaf.answer;
        for (number, other) in leaf.exceptions.iter().rev() {
            node = graph.fork(Word::NUMBER, Ask::Eq(*number), *other, node);
        }
        return (node, leaf.exceptions.len() as u32);
    }
    let total: u32 = segments.iter().map(|one| one.weight).sum();
    let mut before = 0;
    // Where the two sides are as alike as can be.
    let halves = segments[..segments.len() - 1].iter().map(|one| {
        before += one.weight;
        before.abs_diff(total - before)
    });
    let middle = halves.enumerate().min_by_key(|(_, difference)| *difference);
    let (below, above) = segments.split_at(middle.map_or(1, |(at, _)| at + 1));
    let (no, left) = tree(graph, below);
    let (yes, right) = tree(graph, above);
    let node = graph.fork(Word::NUMBER, Ask::Ge(above[0].from), yes, no);
    (node, 1 + left.max(right))
}
