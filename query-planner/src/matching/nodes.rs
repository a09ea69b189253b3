//! The nodes of a matched sum while they are being collected: each is made once, what is known beforehand is not
//! computed, and the range of every number is followed so that nothing leaves 61 bits.

use datafusion_expr::{Expr, LogicalPlan};

use crate::bounds::{Interval, site_bits};
use crate::catalog::Catalog;
use crate::cube::Corner;
use crate::error::PlanError;
use crate::matched::Node;
use crate::order::Encoding;
use crate::plan::Scale;
use crate::split::Sites;

/// A truth value of each patient: known to all, or a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bit {
    No,
    Yes,
    At(usize),
}

/// Rows of some sites, with the position of the patient key among their columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub plan: LogicalPlan,
    pub sites: Sites,
    pub key: usize,
    /// Bound on the rows of one site.
    pub rows: u64,
}

/// A feature before its relation is laid out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    pub source: Source,
    pub filter: Option<Expr>,
    pub keys: Vec<Expr>,
    pub want: Want,
    pub bits: u32,
}

/// What a feature looks at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Want {
    Any,
    Count,
    Sum(Expr, Scale),
    Least(Expr, Encoding),
    Greatest(Expr, Encoding),
    Events { column: Expr, encoding: Encoding, bound: u32 },
}

/// Collects features and nodes.
#[derive(Debug)]
pub(crate) struct Nodes<'a> {
    pub catalog: &'a Catalog,
    pub specs: Vec<Spec>,
    pub steps: Vec<(Node, Interval)>,
}

impl<'a> Nodes<'a> {
    pub fn new(catalog: &'a Catalog) -> Self {
        Nodes { catalog, specs: Vec::new(), steps: Vec::new() }
    }

    /// Sites of the network, as a number of doublings.
    pub fn site_bits(&self) -> u32 {
        site_bits(self.catalog.sites.len())
    }

    pub fn spec(&mut self, spec: Spec) -> usize {
        match self.specs.iter().position(|known| *known == spec) {
            Some(position) => position,
            None => {
                self.specs.push(spec);
                self.specs.len() - 1
            }
        }
    }

    /// A feature that is a bit.
    pub fn any(&mut self, source: &Source, filter: Option<Expr>, keys: Vec<Expr>) -> Bit {
        let spec = Spec { source: source.clone(), filter, keys, want: Want::Any, bits: 1 };
        let feature = self.spec(spec);
        Bit::At(self.put(Node::Feature(feature), BIT))
    }

    /// A feature that is a number within `range`.
    pub fn number_of(&mut self, spec: Spec, range: Interval) -> Result<usize, PlanError> {
        let feature = self.spec(spec);
        self.checked(Node::Feature(feature), range)
    }

    /// Is it a truth value, and no number that happens to be 0 or 1?
    pub fn is_bit(&self, node: usize) -> bool {
        let (node, _) = &self.steps[node];
        node.is_bit() || matches!(node, Node::Feature(spec) if self.specs[*spec].want == Want::Any)
    }

    pub fn range(&self, node: usize) -> Interval {
        self.steps[node].1
    }

    fn put(&mut self, node: Node, range: Interval) -> usize {
        match self.steps.iter().position(|(known, _)| *known == node) {
            Some(position) => position,
            None => {
                self.steps.push((node, range));
                self.steps.len() - 1
            }
        }
    }

    pub fn checked(&mut self, node: Node, range: Interval) -> Result<usize, PlanError> {
        if range.magnitude() >= 1 << MAX_BITS {
            return Err(too_wide());
        }
        Ok(self.put(node, range))
    }

    pub fn constant(&mut self, value: i128) -> Result<usize, PlanError> {
        let small = i64::try_from(value).map_err(|_| too_wide())?;
        self.checked(Node::Constant(small), Interval { lo: value, hi: value })
    }

    pub fn not(&mut self, a: Bit) -> Bit {
        match a {
            Bit::No => Bit::Yes,
            Bit::Yes => Bit::No,
            Bit::At(a) => match self.steps[a].0 {
                Node::Not(inner) => Bit::At(inner),
                _ => Bit::At(self.put(Node::Not(a), BIT)),
            },
        }
    }

    pub fn and(&mut self, a: Bit, b: Bit) -> Bit {
        let (Bit::At(x), Bit::At(y)) = (a, b) else {
            return match (a, b) {
                (Bit::No, _) | (_, Bit::No) => Bit::No,
                (Bit::Yes, other) | (other, Bit::Yes) => other,
                _ => a,
            };
        };
        let mut all = [self.conjuncts(x), self.conjuncts(y)].concat();
        all.sort_unstable();
        all.dedup();
        if all.iter().any(|a| all.iter().any(|b| self.opposite(*a, *b))) {
            return Bit::No;
        }
        let needed = |a: &usize| !all.iter().any(|b| self.narrows(*b, *a));
        let needed: Vec<usize> = all.iter().copied().filter(needed).collect();
        let joined = needed.into_iter().reduce(|joined, bit| self.put(Node::And(joined, bit), BIT));
        joined.map_or(Bit::Yes, Bit::At)
    }

    pub fn or(&mut self, a: Bit, b: Bit) -> Bit {
        let (Bit::At(x), Bit::At(y)) = (a, b) else {
            return match (a, b) {
                (Bit::Yes, _) | (_, Bit::Yes) => Bit::Yes,
                (Bit::No, other) | (other, Bit::No) => other,
                _ => a,
            };
        };
        match () {
            () if x == y => a,
            () if self.opposite(x, y) => Bit::Yes,
            () => Bit::At(self.put(Node::Or(x.min(y), x.max(y)), BIT)),
        }
    }

    /// Not exactly one of three is as it is not at a corner: see [`crate::cube`].
    pub fn off_plane(&mut self, bits: [Bit; 3], corner: Corner) -> Bit {
        let [a, b, c] = [0, 1, 2].map(|at| if corner[at] { self.not(bits[at]) } else { bits[at] });
        let (in_one, both) = (self.differ(a, b), self.and(a, b));
        let is_odd = self.differ(in_one, c);
        let is_even = self.not(is_odd);
        self.or(is_even, both)
    }

    /// One of them and not the other.
    pub fn differ(&mut self, a: Bit, b: Bit) -> Bit {
        let (Bit::At(x), Bit::At(y)) = (a, b) else {
            return match (a, b) {
                (Bit::No, other) | (other, Bit::No) => other,
                (Bit::Yes, other) | (other, Bit::Yes) => self.not(other),
                _ => Bit::No,
            };
        };
        match () {
            () if x == y => Bit::No,
            () if self.opposite(x, y) => Bit::Yes,
            () => Bit::At(self.put(Node::Differ(x.min(y), x.max(y)), BIT)),
        }
    }

    pub fn all(&mut self, bits: impl IntoIterator<Item = Bit>) -> Bit {
        bits.into_iter().fold(Bit::Yes, |all, bit| self.and(all, bit))
    }

    fn opposite(&self, x: usize, y: usize) -> bool {
        self.steps[x].0 == Node::Not(y) || self.steps[y].0 == Node::Not(x)
    }

    /// Is `a` the presence of some of the rows that `b` is the presence of any of?
    fn narrows(&self, a: usize, b: usize) -> bool {
        let any = |at: usize| match self.steps[at].0 {
            Node::Feature(spec) => Some(&self.specs[spec]).filter(|spec| spec.want == Want::Any),
            _ => None,
        };
        let (Some(some), Some(all)) = (any(a), any(b)) else { return false };
        let same = all.keys.is_empty() || all.keys == some.keys;
        a != b && all.filter.is_none() && same && some.source == all.source
    }

    /// The bits whose conjunction a node is.
    fn conjuncts(&self, at: usize) -> Vec<usize> {
        match self.steps[at].0 {
            Node::And(a, b) => [self.conjuncts(a), self.conjuncts(b)].concat(),
            _ => vec![at],
        }
    }

    pub fn number(&mut self, bit: Bit) -> Result<usize, PlanError> {
        match bit {
            Bit::No => self.constant(0),
            Bit::Yes => self.constant(1),
            Bit::At(a) => Ok(self.put(Node::Number(a), BIT)),
        }
    }

    /// The number where the bit is 1, else 0.
    pub fn select(&mut self, bit: Bit, number: usize) -> Result<usize, PlanError> {
        match (bit, &self.steps[number].0) {
            (Bit::No, _) => self.constant(0),
            (Bit::Yes, _) => Ok(number),
            (bit, Node::Number(inner)) => {
                let both = self.and(bit, Bit::At(*inner));
                self.number(both)
            }
            (bit, Node::Constant(1)) => self.number(bit),
            (Bit::At(a), _) => {
                let range = self.range(number).hull(Interval { lo: 0, hi: 0 });
                self.checked(Node::Select(a, number), range)
            }
        }
    }

    pub fn add(&mut self, a: usize, b: usize) -> Result<usize, PlanError> {
        if self.steps[a].0 == Node::Constant(0) {
            return Ok(b);
        }
        if self.steps[b].0 == Node::Constant(0) {
            return Ok(a);
        }
        let (x, y) = (self.range(a), self.range(b));
        self.checked(Node::Add(a.min(b), a.max(b)), Interval { lo: x.lo + y.lo, hi: x.hi + y.hi })
    }

    pub fn subtract(&mut self, a: usize, b: usize) -> Result<usize, PlanError> {
        if self.steps[b].0 == Node::Constant(0) {
            return Ok(a);
        }
        let (x, y) = (self.range(a), self.range(b));
        self.checked(Node::Subtract(a, b), Interval { lo: x.lo - y.hi, hi: x.hi - y.lo })
    }

    pub fn multiply(&mut self, a: usize, b: usize) -> Result<usize, PlanError> {
        match (&self.steps[a].0, &self.steps[b].0) {
            (Node::Constant(1), _) => return Ok(b),
            (_, Node::Constant(1)) => return Ok(a),
            (Node::Number(bit), _) => return self.select(Bit::At(*bit), b),
            (_, Node::Number(bit)) => return self.select(Bit::At(*bit), a),
            _ => {}
        }
        let range = self.range(a).multiply(self.range(b)).ok_or_else(too_wide)?;
        self.checked(Node::Multiply(a.min(b), a.max(b)), range)
    }

    /// a < b.
    pub fn less(&mut self, a: usize, b: usize) -> Bit {
        let (x, y) = (self.range(a), self.range(b));
        match () {
            () if x.hi < y.lo => Bit::Yes,
            () if x.lo >= y.hi => Bit::No,
            () => Bit::At(self.put(Node::Less(a, b), BIT)),
        }
    }

    pub fn equal(&mut self, a: usize, b: usize) -> Bit {
        let (x, y) = (self.range(a), self.range(b));
        match () {
            () if a == b => Bit::Yes,
            () if x.hi < y.lo || y.hi < x.lo => Bit::No,
            () => Bit::At(self.put(Node::Equal(a.min(b), a.max(b)), BIT)),
        }
    }

    /// A bit as a node, also where it is known beforehand.
    pub fn place(&mut self, bit: Bit) -> Result<usize, PlanError> {
        match bit {
            Bit::At(at) => Ok(at),
            known => self.number(known),
        }
    }
}

/// Bits of a number that is in absolute value at most that of the range's ends.
pub(crate) fn bits_of(range: Interval) -> u32 {
    (u128::BITS - range.magnitude().leading_zeros()).max(1)
}

pub(crate) fn too_wide() -> PlanError {
    PlanError::new("NUMBER_TOO_WIDE", format!("a number of one patient would need more than {MAX_BITS} bits"))
        .hint("declare the column's range in network.toml")
}

const BIT: Interval = Interval { lo: 0, hi: 1 };

/// Differences of two such numbers, and of two such differences, keep their sign in a ring of 64 bits.
pub(crate) const MAX_BITS: u32 = 61;
