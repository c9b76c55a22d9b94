//! What an architecture's calls come to: ranges of numbers with one answer each.

use std::collections::HashMap;

use crate::program::{Ask, Graph, NodeId, Word};
use crate::{Action, Architecture, Comparison, Error, Profile, Rule, syscalls};

/// The names of a profile's rules, looked up once: index of the name, and of the rule.
#[derive(Debug)]
pub(crate) struct Named {
    pairs: Vec<(usize, usize)>,
}

impl Named {
    pub(crate) fn new(profile: &Profile, mut unknown: impl FnMut(usize, &str)) -> Self {
        let mut pairs = Vec::new();
        for (at, rule) in profile.rules.iter().enumerate() {
            for name in &rule.names {
                match syscalls::index(name) {
                    Some(index) => pairs.push((index, at)),
                    None => unknown(at, name),
                }
            }
        }
        Self { pairs }
    }
}

/// The first number of a range and what happens from there on.
pub(crate) type Start = (u32, NodeId);

/// The ranges of one architecture over all numbers, from zero on.
pub(crate) fn ranges(
    graph: &mut Graph,
    profile: &Profile,
    named: &Named,
    architecture: Architecture,
) -> Result<Vec<Start>, Error> {
    let mut calls: Vec<(u32, usize)> = named
        .pairs
        .iter()
        .filter_map(|(name, rule)| Some((syscalls::number_at(architecture, *name)?, *rule)))
        .collect();
    calls.sort_unstable();
    calls.dedup();
    let default = graph.give(profile.default.to_return());
    let unordered = architecture.unordered_from();
    let newest = calls.iter().rev().map(|(number, _)| *number);
    let newest = newest.into_iter().find(|number| *number < unordered);
    let newer = match (profile.default, newest) {
        (Action::Errno(_), Some(newest)) if profile.enosys => {
            Some((newest + 1, graph.give(Action::Errno(38).to_return())))
        }
        _ => None,
    };

    let mut starts: Vec<Start> = vec![(0, default)];
    let mut decided: HashMap<Vec<usize>, NodeId> = HashMap::new();
    let mut after = 0;
    let mut rules = Vec::new();
    // Neighbours mostly fare alike.
    let mut before: (Vec<usize>, NodeId) = (Vec::new(), default);
    for group in calls.chunk_by(|one, other| one.0 == other.0) {
        let number = group[0].0;
        gap(&mut starts, (after, number), default, newer, unordered);
        rules.clear();
        rules.extend(group.iter().map(|(_, rule)| *rule));
        if rules != before.0 {
            let node = match decided.get(&rules) {
                Some(node) => *node,
                None => {
                    let node = decide(graph, profile, &rules, architecture.little_endian())?;
                    decided.insert(rules.clone(), node);
                    node
                }
            };
            before = (rules.clone(), node);
        }
        begin(&mut starts, number, before.1);
        after = number.saturating_add(1);
    }
    gap(&mut starts, (after, u32::MAX), default, newer, unordered);
    Ok(starts)
}

/// The numbers of `between` (the end not included) that no rule names.
fn gap(
    starts: &mut Vec<Start>,
    between: (u32, u32),
    default: NodeId,
    newer: Option<Start>,
    unordered: u32,
) {
    let (from, to) = between;
    if from >= to {
        return;
    }
    match newer {
        Some((newest, enosys)) if from >= newest && from < unordered => {
            begin(starts, from, enosys);
            if unordered < to {
                begin(starts, unordered, default);
            }
        }
        _ => begin(starts, from, default),
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

/// What the rules of one call, in their order, come to.
fn decide(
    graph: &mut Graph,
    profile: &Profile,
    rules: &[usize],
    little_endian: bool,
) -> Result<NodeId, Error> {
    let rules = rules.iter().map(|at| &profile.rules[*at]);
    // Nothing behind a rule without conditions can ever decide.
    let mut live: Vec<&Rule> = Vec::new();
    let mut last = profile.default;
    for rule in rules {
        if rule.arguments.is_empty() {
            last = rule.action;
            break;
        }
        live.push(rule);
    }
    let mut node = graph.give(last.to_return());
    for rule in live.iter().rev() {
        let hit = graph.give(rule.action.to_return());
        node = conditions(graph, rule, hit, node, little_endian);
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
    little_endian: bool,
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
        let words = Word::halves(argument, little_endian);
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
    words: (Word, Word),
    comparison: Comparison,
    yes: NodeId,
    no: NodeId,
) -> NodeId {
    let (upper, lower) = words;
    // The halves of a constant; what is cut off is the other half.
    let high = |value: u64| (value >> 32) as u32;
    let low = |value: u64| value as u32;
    match comparison {
        Comparison::Ne(value) => compare(graph, words, Comparison::Eq(value), no, yes),
        Comparison::Lt(value) => compare(graph, words, Comparison::Ge(value), no, yes),
        Comparison::Le(value) => compare(graph, words, Comparison::Gt(value), no, yes),
        Comparison::Eq(value) => {
            // The lower half first: it is the one that tells values apart.
            let rest = graph.test(upper, Ask::Eq(high(value)), yes, no);
            graph.test(lower, Ask::Eq(low(value)), rest, no)
        }
        Comparison::Gt(value) | Comparison::Ge(value) => {
            let ask = match comparison {
                Comparison::Gt(_) => Ask::Gt(low(value)),
                _ => Ask::Ge(low(value)),
            };
            let same = graph.test(lower, ask, yes, no);
            let rest = graph.test(upper, Ask::Eq(high(value)), same, no);
            graph.test(upper, Ask::Gt(high(value)), yes, rest)
        }
        Comparison::MaskedEq { mask, value } => {
            let rest = masked(graph, upper, high(mask), high(value), yes, no);
            masked(graph, lower, low(mask), low(value), rest, no)
        }
    }
}

fn masked(graph: &mut Graph, word: Word, mask: u32, value: u32, yes: NodeId, no: NodeId) -> NodeId {
    if mask == u32::MAX {
        graph.test(word, Ask::Eq(value), yes, no)
    } else if value == 0 {
        graph.test(word, Ask::Any(mask), no, yes)
    } else if mask.is_power_of_two() {
        graph.test(word, Ask::Any(mask), yes, no)
    } else {
        graph.test(word, Ask::Masked(mask, value), yes, no)
    }
}
