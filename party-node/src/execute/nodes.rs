//! A matching's nodes as a circuit: for every receiver, what they are after its site tells what it knows, less what they were
//! before.

use mpc_core::PartyId;
use protocols::relational::differencing::Form;
use protocols::relational::patients::{Bit, Circuit, Number, Place, Trend, When};
use query_planner::matched::{Feature, Matching, Node, What};

use super::patients::Layout;
use crate::govern::figures::{Counted, Group};

type Made<T> = Result<T, String>;

/// The circuit whose total `slot·groups + group` is the sum over all patients of that slot's node in that group. `nodes` are
/// the slots' nodes, `sites` all that are matched, in order, with the layouts of all parties.
///
/// # Errors
/// What contradicts itself in the plan, in words.
pub(super) fn write(
    matching: &Matching,
    (sites, layouts): (&[PartyId], &[Layout]),
    tuples: usize,
    groups: &[Group],
    nodes: &[usize],
) -> Made<Circuit> {
    let mut writer = Writer { matching, layouts, tuples, circuit: Circuit::default(), receiver: PartyId(0) };
    let trends = trends(matching)?;
    for (at, receiver) in sites.iter().enumerate() {
        writer.receiver = *receiver;
        let before = writer.evaluate(&sites[..at], None)?;
        let after = writer.evaluate(&sites[..at], Some(*receiver))?;
        for (slot, node) in nodes.iter().enumerate() {
            for (index, group) in groups.iter().enumerate() {
                let total = slot * groups.len() + index;
                let with = |trend, bit: &usize| Ok::<_, String>(joined(trend, *at_node(&trends, *bit)?));
                let trend = group.bits.iter().try_fold(*at_node(&trends, *node)?, with)?;
                match (writer.within(&after, *node, group)?, writer.within(&before, *node, group)?) {
                    (Term::Bit(after), Term::Bit(before)) => writer.circuit.count(total, after, before, trend),
                    (Term::Number(after), Term::Number(before)) => writer.circuit.sum(total, after, before),
                    _ => return Err("a node of two types".into()),
                }
            }
        }
    }
    Ok(writer.circuit)
}

/// Flags, in every site's bins and from set `first` on, who counts in the sets of a sum: see [`Counted`]. What is known of the patients of a site's
/// bins is what that site and those behind it know; telescoped, what those before it know, and then with it. `matched` are the sites that
/// know anything.
///
/// # Errors
/// What contradicts itself in the figures, in words.
pub(super) fn mark(
    counted: &Counted,
    (matched, layouts): (&[PartyId], &[Layout]),
    (first, form): (usize, Form),
    circuit: Circuit,
) -> Made<Circuit> {
    let mut writer =
        Writer { matching: &counted.matching, layouts, tuples: counted.tuples, circuit, receiver: PartyId(0) };
    for receiver in (0..layouts.len()).map(|site| PartyId(site as u8)) {
        writer.receiver = receiver;
        let of = |is_told: fn(&PartyId, &PartyId) -> bool| {
            matched.iter().copied().filter(|site| is_told(site, &receiver)).collect::<Vec<PartyId>>()
        };
        let own = matched.contains(&receiver).then_some(receiver);
        match form {
            Form::Once => writer.flags(counted, first, (&of(PartyId::gt), own, When::After))?,
            Form::Telescoped => {
                let before = of(PartyId::lt);
                writer.flags(counted, first, (&before, own, When::After))?;
                writer.flags(counted, first, (&before, None, When::Before))?;
            }
        }
    }
    Ok(writer.circuit)
}

/// A node's value: a bit or a number.
#[derive(Clone, Copy)]
enum Term {
    Bit(Bit),
    Number(Number),
}

/// A node's values: one for each tuple, or one for all of them.
type Terms = Vec<Term>;

struct Writer<'p> {
    matching: &'p Matching,
    layouts: &'p [Layout],
    tuples: usize,
    circuit: Circuit,
    receiver: PartyId,
}

impl<'p> Writer<'p> {
    /// Flags of what these sites and, if it is named, the receiver know.
    fn flags(
        &mut self,
        Counted { groups, nodes, .. }: &Counted,
        first: usize,
        (senders, own, when): (&[PartyId], Option<PartyId>, When),
    ) -> Made<()> {
        let (values, receiver) = (self.evaluate(senders, own)?, self.receiver);
        let mut sets = first..;
        for node in nodes {
            let counts = groups.iter().map(|group| self.counts(&values, *node, group));
            let counts = counts.collect::<Made<Vec<Bit>>>()?;
            let whole = (counts.len() > 1).then(|| combined(&mut self.circuit, counts.clone(), None, Circuit::or));
            let of_node = whole.flatten().into_iter().chain(counts);
            of_node.zip(&mut sets).for_each(|(bit, set)| self.circuit.flag_when(set, receiver, when, bit));
        }
        Ok(())
    }

    /// A slot's node for the patients of a group.
    fn within(&mut self, values: &[Terms], node: usize, group: &Group) -> Made<Term> {
        let mut inside = self.circuit.bit(true);
        for bit in &group.bits {
            let bit = at_tuple(at_node(values, *bit)?, group.tuple)?;
            let bit = self.flag(bit);
            inside = self.circuit.and(inside, bit);
        }
        Ok(match at_tuple(at_node(values, node)?, group.tuple)? {
            Term::Bit(bit) => Term::Bit(self.circuit.and(inside, bit)),
            Term::Number(number) => Term::Number(self.circuit.select(inside, number)),
        })
    }

    /// Is a patient in a group, with a node that is not zero?
    fn counts(&mut self, values: &[Terms], node: usize, group: &Group) -> Made<Bit> {
        let mut all = self.is_some(values, node, group.tuple)?;
        for bit in &group.bits {
            let bit = at_tuple(at_node(values, *bit)?, group.tuple)?;
            let bit = self.flag(bit);
            all = self.circuit.and(all, bit);
        }
        Ok(all)
    }

    /// Is a node not zero? A product is where all its factors are: nodes stay below 2^61, so that none wraps around.
    fn is_some(&mut self, values: &[Terms], node: usize, tuple: usize) -> Made<Bit> {
        match &at_node(&self.matching.nodes, node)?.node {
            Node::Number(a) => self.is_some(values, *a, tuple),
            Node::Select(a, b) | Node::Multiply(a, b) => {
                let (a, b) = (self.is_some(values, *a, tuple)?, self.is_some(values, *b, tuple)?);
                Ok(self.circuit.and(a, b))
            }
            _ => Ok(match at_tuple(at_node(values, node)?, tuple)? {
                Term::Bit(bit) => bit,
                Term::Number(number) => {
                    let zero = self.circuit.number(0);
                    let is_zero = self.circuit.equal(number, zero, bits(self.matching, node) + 1);
                    self.circuit.not(is_zero)
                }
            }),
        }
    }

    /// A bit, or a number that is 0 or 1.
    fn flag(&mut self, term: Term) -> Bit {
        match term {
            Term::Bit(bit) => bit,
            Term::Number(number) => {
                let zero = self.circuit.number(0);
                let none = self.circuit.equal(number, zero, 1);
                self.circuit.not(none)
            }
        }
    }

    /// All nodes, of what these sites know.
    fn evaluate(&mut self, senders: &[PartyId], own: Option<PartyId>) -> Made<Vec<Terms>> {
        let mut values: Vec<Terms> = Vec::with_capacity(self.matching.nodes.len());
        for step in &self.matching.nodes {
            let terms = match &step.node {
                Node::Feature(feature) => self.feature(*feature, senders, own)?,
                Node::Gaps { feature, .. } | Node::Nth { feature, .. } | Node::Length(feature) => {
                    self.events(&step.node, *feature, senders, own)?
                }
                node => {
                    let wide = node.operands().into_iter().map(|at| Ok(at_node(&values, at)?.len()));
                    let wide = wide.collect::<Made<Vec<usize>>>()?.into_iter().find(|terms| *terms != 1).unwrap_or(1);
                    (0..wide).map(|tuple| self.node(node, &values, tuple)).collect::<Made<Terms>>()?
                }
            };
            values.push(terms);
        }
        Ok(values)
    }

    /// A node of other nodes, for one tuple.
    fn node(&mut self, node: &Node, values: &[Terms], tuple: usize) -> Made<Term> {
        let term = |at: usize| at_tuple(at_node(values, at)?, tuple);
        let matching = self.matching;
        let circuit = &mut self.circuit;
        Ok(match node {
            Node::Constant(value) => Term::Number(circuit.number(*value as u64)),
            Node::Not(a) => {
                let a = as_bit(circuit, term(*a)?)?;
                Term::Bit(circuit.not(a))
            }
            Node::And(a, b) | Node::Or(a, b) | Node::Differ(a, b) => {
                let (a, b) = (as_bit(circuit, term(*a)?)?, as_bit(circuit, term(*b)?)?);
                Term::Bit(match node {
                    Node::And(..) => circuit.and(a, b),
                    Node::Or(..) => circuit.or(a, b),
                    _ => circuit.xor(a, b),
                })
            }
            Node::Less(a, b) | Node::Equal(a, b) => {
                let width = bits(matching, *a).max(bits(matching, *b));
                let (a, b) = (as_number(circuit, term(*a)?), as_number(circuit, term(*b)?));
                Term::Bit(match node {
                    Node::Less(..) => circuit.less(a, b, width + 2),
                    _ => circuit.equal(a, b, width + 1),
                })
            }
            Node::Add(a, b) | Node::Subtract(a, b) | Node::Multiply(a, b) => {
                let (a, b) = (as_number(circuit, term(*a)?), as_number(circuit, term(*b)?));
                Term::Number(match node {
                    Node::Add(..) => circuit.add(a, b),
                    Node::Subtract(..) => circuit.subtract(a, b),
                    _ => circuit.multiply(a, b),
                })
            }
            Node::Number(a) => {
                let a = as_bit(circuit, term(*a)?)?;
                Term::Number(circuit.from_bit(a))
            }
            Node::Select(a, b) => {
                let (choice, b) = (as_bit(circuit, term(*a)?)?, as_number(circuit, term(*b)?));
                Term::Number(circuit.select(choice, b))
            }
            Node::Feature(_) | Node::Gaps { .. } | Node::Nth { .. } | Node::Length(_) => {
                return Err("a node that is made of a feature".into());
            }
        })
    }

    /// A feature that is a bit or a number.
    fn feature(&mut self, index: usize, senders: &[PartyId], own: Option<PartyId>) -> Made<Terms> {
        let feature = self.known(index)?;
        let tuples = self.tuples_of(feature);
        let one_tuple = |tuple| {
            let (senders, own) = self.places((index, tuple), senders, own);
            match feature.what {
                What::Any => Ok(Term::Bit(self.any(&senders, own))),
                What::Events { .. } => Err("a node of one number over many events".into()),
                _ => Ok(Term::Number(self.number(feature, &senders, own))),
            }
        };
        (0..tuples).map(one_tuple).collect()
    }

    fn any(&mut self, senders: &[Place], own: Option<Place>) -> Bit {
        let senders = senders.iter().map(|place| self.circuit.known_bit(*place)).collect();
        let own = own.map(|place| self.circuit.known_bit(place));
        let any = combined(&mut self.circuit, senders, own, Circuit::or);
        any.unwrap_or_else(|| self.circuit.bit(false))
    }

    fn number(&mut self, feature: &Feature, senders: &[Place], own: Option<Place>) -> Number {
        let senders = senders.iter().map(|place| self.circuit.known_number(*place)).collect();
        let own = own.map(|place| self.circuit.known_number(place));
        let (bits, circuit) = (feature.bits, &mut self.circuit);
        let larger = |circuit: &mut Circuit, a, b| circuit.larger(a, b, bits);
        let all = match feature.what {
            What::Least(..) | What::Greatest(..) => combined(circuit, senders, own, larger),
            _ => combined(circuit, senders, own, Circuit::add),
        };
        let all = all.unwrap_or_else(|| circuit.number(0));
        match feature.what {
            What::Least(..) => {
                let minus = circuit.scale(all, u64::MAX);
                circuit.shift(minus, 1 << bits)
            }
            What::Greatest(..) => circuit.shift(all, u64::MAX),
            _ => all,
        }
    }

    /// What is asked of events in order.
    fn events(&mut self, node: &Node, index: usize, senders: &[PartyId], own: Option<PartyId>) -> Made<Terms> {
        let feature = self.known(index)?;
        let What::Events { bound, .. } = feature.what else { return Err("events of another feature".into()) };
        let (bits, bound, tuples) = (feature.bits, bound as usize, self.tuples_of(feature));
        let one_tuple = |tuple| {
            let (senders, own) = self.places((index, tuple * bound), senders, own);
            let circuit = &mut self.circuit;
            let mut list = |first: Place| -> Vec<Number> {
                let column = |at| Place { column: first.column + at, ..first };
                (0..bound).map(|at| circuit.known_number(column(at))).collect()
            };
            let (senders, own) = (senders.into_iter().map(&mut list).collect(), own.map(&mut list));
            let events = combined(circuit, senders, own, |c, a, b| c.merge(&a, &b, bits)).unwrap_or_default();
            Term::Number(match node {
                Node::Gaps { at_least, at_most, .. } => circuit.gaps(&events, bits, *at_least, *at_most),
                Node::Nth { n, .. } => circuit.nth(&events, bits, *n as usize),
                _ => circuit.length(&events, bits),
            })
        };
        Ok((0..tuples).map(one_tuple).collect())
    }

    /// Where a feature's column stands at the sites that have it.
    fn places(
        &self,
        (feature, column): (usize, usize),
        senders: &[PartyId],
        own: Option<PartyId>,
    ) -> (Vec<Place>, Option<Place>) {
        let place = |site: &PartyId| {
            let first = self.layouts[site.index()].features[feature]?;
            Some(Place { receiver: self.receiver, site: *site, column: first + column })
        };
        (senders.iter().filter_map(place).collect(), own.as_ref().and_then(place))
    }

    fn known(&self, index: usize) -> Made<&'p Feature> {
        self.matching.features.get(index).ok_or_else(|| "a feature that is not there".into())
    }

    fn tuples_of(&self, feature: &Feature) -> usize {
        if feature.keys.is_empty() { 1 } else { self.tuples }
    }
}

/// A node's number is below 2 to this in absolute value.
fn bits(matching: &Matching, node: usize) -> u32 {
    let step = &matching.nodes[node];
    match step.node {
        // "None" is beyond every code.
        Node::Feature(index) | Node::Nth { feature: index, .. } => {
            let feature = matching.features.get(index).map_or(0, |feature| feature.bits);
            step.bits.max(feature + 1)
        }
        _ => step.bits,
    }
}

/// What senders know put together in a tree, then the receiver's own.
fn combined<T: Clone>(
    circuit: &mut Circuit,
    mut senders: Vec<T>,
    own: Option<T>,
    together: impl Fn(&mut Circuit, T, T) -> T,
) -> Option<T> {
    while senders.len() > 1 {
        let mut pair = |pair: &[T]| match pair {
            [a, b] => together(circuit, a.clone(), b.clone()),
            one => one[0].clone(),
        };
        senders = senders.chunks(2).map(&mut pair).collect();
    }
    match (senders.pop(), own) {
        (Some(before), Some(own)) => Some(together(circuit, before, own)),
        (before, own) => before.or(own),
    }
}

/// How each node can change when one more site tells what it knows; a number's trend says whether it can grow or fall.
fn trends(matching: &Matching) -> Made<Vec<Trend>> {
    let mut trends: Vec<Trend> = Vec::with_capacity(matching.nodes.len());
    for step in &matching.nodes {
        let of = |at: &usize| at_node(&trends, *at).copied();
        let trend = match &step.node {
            Node::Constant(_) => Trend::Constant,
            Node::Feature(index) => match matching.features.get(*index).map(|feature| feature.what) {
                Some(What::Any | What::Count(_) | What::Greatest(..)) => Trend::Up,
                Some(What::Least(..)) => Trend::Down,
                _ => Trend::Either,
            },
            Node::Not(a) => flipped(of(a)?),
            Node::And(a, b) | Node::Or(a, b) | Node::Add(a, b) => joined(of(a)?, of(b)?),
            Node::Less(a, b) => joined(flipped(of(a)?), of(b)?),
            Node::Subtract(a, b) => joined(of(a)?, flipped(of(b)?)),
            Node::Number(a) => of(a)?,
            Node::Nth { .. } => Trend::Down,
            Node::Length(_) => Trend::Up,
            Node::Differ(..) | Node::Equal(..) | Node::Multiply(..) | Node::Select(..) | Node::Gaps { .. } => {
                Trend::Either
            }
        };
        trends.push(trend);
    }
    Ok(trends)
}

fn flipped(trend: Trend) -> Trend {
    match trend {
        Trend::Up => Trend::Down,
        Trend::Down => Trend::Up,
        other => other,
    }
}

fn joined(a: Trend, b: Trend) -> Trend {
    match (a, b) {
        (Trend::Constant, other) | (other, Trend::Constant) => other,
        (a, b) if a == b => a,
        _ => Trend::Either,
    }
}

fn at_node<T>(values: &[T], node: usize) -> Made<&T> {
    values.get(node).ok_or_else(|| "a node that names a later one".into())
}

/// One number serves every tuple beside a node with many.
fn at_tuple(terms: &Terms, tuple: usize) -> Made<Term> {
    let term = if terms.len() == 1 { terms.first() } else { terms.get(tuple) };
    term.copied().ok_or_else(|| "a tuple that is not there".into())
}

/// A bit, or a 0 or 1 that everybody knows.
fn as_bit(circuit: &mut Circuit, term: Term) -> Made<Bit> {
    match term {
        Term::Bit(bit) => Ok(bit),
        Term::Number(number) => match circuit.public(number) {
            Some(value @ 0..=1) => Ok(circuit.bit(value == 1)),
            _ => Err("a number where a bit is needed".into()),
        },
    }
}

/// A number, or a bit as 0 or 1.
fn as_number(circuit: &mut Circuit, term: Term) -> Number {
    match term {
        Term::Number(number) => number,
        Term::Bit(bit) => circuit.from_bit(bit),
    }
}
