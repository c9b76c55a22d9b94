//! What an architecture's calls come to: ranges of numbers with one answer each.

use std::collections::HashMap;

use crate::multiplexer::{self, Multiplexer};
use crate::outcome::{Named, Outcome, Unnamed};
use crate::program::{Ask, Graph, NodeId, Word};
use crate::{Architecture, Comparison, Error, Profile, Rule};

/// The first number of a range and what happens from there on.
pub(crate) type Start = (u32, NodeId);

/// The ranges of one architecture over all numbers, from zero on.
pub(crate) fn ranges(
    graph: &mut Graph,
    profile: &Profile,
    named: &Named,
    architecture: Architecture,
) -> Result<Vec<Start>, Error> {
    let calls = named.calls(architecture);
    let unnamed = Unnamed::new(profile, architecture, &calls);
    let gaps: Vec<Start> = unnamed
        .changes()
        .into_iter()
        .map(|(from, action)| (from, graph.give(action.to_return())))
        .collect();
    let default = graph.give(profile.default.to_return());
    let mut starts: Vec<Start> = Vec::with_capacity(128);
    let mut decided: HashMap<Vec<usize>, NodeId> = HashMap::new();
    let mut rules = Vec::new();
    // Neighbours mostly fare alike.
    let mut before: (Vec<usize>, NodeId) = (Vec::new(), default);
    let mut after = 0;
    for group in calls.chunk_by(|one, other| one.0 == other.0) {
        let number = group[0].0;
        gap(&mut starts, &gaps, after, number);
        rules.clear();
        rules.extend(group.iter().map(|(_, rule)| *rule));
        if rules != before.0 {
            let node = match decided.get(&rules) {
                Some(node) => *node,
                None => {
                    let outcome = Outcome::new(profile, rules.iter().copied());
                    let node = decide(graph, &outcome, default, architecture)?;
                    decided.insert(rules.clone(), node);
                    node
                }
            };
            before = (rules.clone(), node);
        }
        begin(&mut starts, number, before.1);
        after = number.saturating_add(1);
    }
    gap(&mut starts, &gaps, after, u32::MAX);
    for one in &multiplexer::ALL {
        if let Some(number) = one.number(architecture) {
            let default = graph.give(unnamed.action(number).to_return());
            if let Some(node) = multiplexed(graph, profile, named, one, default, architecture)? {
                replace(&mut starts, number, node);
            }
        }
    }
    Ok(starts)
}

/// The numbers between two that rules name, the end not included.
fn gap(starts: &mut Vec<Start>, gaps: &[Start], from: u32, to: u32) {
    for (at, (start, node)) in gaps.iter().enumerate() {
        let end = gaps.get(at + 1).map_or(u32::MAX, |next| next.0);
        if end.min(to) > *start.max(&from) {
            begin(starts, *start.max(&from), *node);
        }
    }
}

/// What happens to a multiplexer of whose parts rules speak; nothing new where a rule for itself
/// decides.
fn multiplexed(
    graph: &mut Graph,
    profile: &Profile,
    named: &Named,
    multiplexer: &Multiplexer,
    default: NodeId,
    architecture: Architecture,
) -> Result<Option<NodeId>, Error> {
    let parts = multiplexer.decided(profile, named);
    let outcome = Outcome::new(profile, named.rules(multiplexer.name));
    if parts.is_empty() || outcome.otherwise.is_some() {
        return Ok(None);
    }
    let (lower, _) = Word::halves(0, architecture);
    let mut node = default;
    for (part, action) in parts.into_iter().rev() {
        let hit = graph.give(action.to_return());
        node = graph.test(lower, multiplexer.ask(part), hit, node);
    }
    decide(graph, &outcome, node, architecture).map(Some)
}

/// Gives one number another answer.
fn replace(starts: &mut Vec<Start>, number: u32, node: NodeId) {
    let old = std::mem::take(starts);
    let place = old.partition_point(|(from, _)| *from <= number);
    let (until, behind) = old.split_at(place);
    for (from, node) in until {
        begin(starts, *from, *node);
    }
    let rest = until.last().map(|(_, node)| (number + 1, *node));
    begin(starts, number, node);
    // What begins directly behind the number takes the place of the rest.
    for (from, node) in rest.iter().chain(behind) {
        begin(starts, *from, *node);
    }
}

/// Begins a range where something else happens than before.
pub(crate) fn begin(starts: &mut Vec<Start>, from: u32, node: NodeId) {
    match starts.last_mut() {
        Some(last) if last.1 == node => {}
        Some(last) if last.0 == from => {
            last.1 = node;
            // What was overwritten may have parted two equal ranges.
            if let [.., before, last] = starts[..]
                && before.1 == last.1
            {
                starts.pop();
            }
        }
        _ => starts.push((from, node)),
    }
}

/// What the rules of one call come to; `default` is where none of them decides.
fn decide(
    graph: &mut Graph,
    outcome: &Outcome<'_>,
    default: NodeId,
    architecture: Architecture,
) -> Result<NodeId, Error> {
    let mut node = match outcome.otherwise {
        Some(action) => graph.give(action.to_return()),
        None => default,
    };
    for rule in outcome.conditional.iter().rev() {
        let hit = graph.give(rule.action.to_return());
        node = conditions(graph, rule, hit, node, architecture);
        graph.check()?;
    }
    Ok(node)
}

/// The conditions of a rule: *or* within an argument, *and* between them.
fn conditions(
    graph: &mut Graph,
    rule: &Rule,
    hit: NodeId,
    miss: NodeId,
    architecture: Architecture,
) -> NodeId {
    let mut node = hit;
    for argument in (0..6).rev() {
        let of_it = rule
            .arguments
            .iter()
            .rev()
            .filter(|(at, _)| *at == argument);
        let mut comparisons = of_it.map(|(_, comparison)| *comparison).peekable();
        if comparisons.peek().is_none() {
            continue;
        }
        let words = Word::halves(argument, architecture);
        let next = node;
        node = miss;
        for comparison in comparisons {
            node = compare(graph, words, comparison, next, node);
        }
    }
    node
}

/// One comparison of a 64-bit argument, on its two halves.
fn compare(
    graph: &mut Graph,
    words: (Word, Option<Word>),
    comparison: Comparison,
    yes: NodeId,
    no: NodeId,
) -> NodeId {
    let (lower, upper) = words;
    // The halves of a constant; what is cut off is the other half.
    let high = |value: u64| (value >> 32) as u32;
    let low = |value: u64| value as u32;
    match comparison {
        Comparison::Ne(value) => compare(graph, words, Comparison::Eq(value), no, yes),
        Comparison::Lt(value) => compare(graph, words, Comparison::Ge(value), no, yes),
        Comparison::Le(value) => compare(graph, words, Comparison::Gt(value), no, yes),
        Comparison::Eq(value) => {
            // The lower half first: it is the one that tells values apart.
            let rest = ask_half(graph, upper, Ask::Eq(high(value)), yes, no);
            graph.test(lower, Ask::Eq(low(value)), rest, no)
        }
        Comparison::Gt(value) | Comparison::Ge(value) => {
            let ask = match comparison {
                Comparison::Gt(_) => Ask::Gt(low(value)),
                _ => Ask::Ge(low(value)),
            };
            let same = graph.test(lower, ask, yes, no);
            let rest = ask_half(graph, upper, Ask::Eq(high(value)), same, no);
            ask_half(graph, upper, Ask::Gt(high(value)), yes, rest)
        }
        Comparison::MaskedEq { mask, value } => {
            let rest = masked(graph, upper, high(mask), high(value), yes, no);
            masked(graph, Some(lower), low(mask), low(value), rest, no)
        }
    }
}

/// Asks a half, which counts as zero where there is none.
fn ask_half(graph: &mut Graph, word: Option<Word>, ask: Ask, yes: NodeId, no: NodeId) -> NodeId {
    match word {
        Some(word) => graph.test(word, ask, yes, no),
        None if ask.of_zero() => yes,
        None => no,
    }
}

fn masked(
    graph: &mut Graph,
    word: Option<Word>,
    mask: u32,
    value: u32,
    yes: NodeId,
    no: NodeId,
) -> NodeId {
    let value = value & mask;
    if mask == u32::MAX {
        ask_half(graph, word, Ask::Eq(value), yes, no)
    } else if value == 0 {
        ask_half(graph, word, Ask::Any(mask), no, yes)
    } else if mask.is_power_of_two() {
        ask_half(graph, word, Ask::Any(mask), yes, no)
    } else {
        ask_half(graph, word, Ask::Masked(mask, value), yes, no)
    }
}
