//! Reading sums, on expressions alone: what terms there are, and that nothing but them is in a value.

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::expr::{BinaryExpr, Case};
use datafusion_expr::{Expr, Operator, cast, col, lit, when};

use super::terms::{Reader, Term};
use crate::error::PlanError;

fn schema() -> DFSchema {
    let whole = ["a", "b", "c"].map(|name| Field::new(name, DataType::Int64, true));
    let others = [
        Field::new("x", DataType::Float64, true),
        Field::new("m", DataType::Decimal128(10, 2), true),
        Field::new("d", DataType::Date32, true),
        Field::new("e", DataType::Date32, true),
        Field::new("odd", DataType::Int64, true),
    ];
    DFSchema::try_from(Schema::new([whole.to_vec(), others.to_vec()].concat())).unwrap()
}

/// Every column is a term but `odd`.
fn read(expr: &Expr) -> Result<Vec<Term>, PlanError> {
    let known = |column: &Column| match column.name.as_str() {
        "odd" => Err(super::terms::refusal("odd")),
        _ => Ok(()),
    };
    Reader::new(&schema(), &known).terms(expr)
}

fn leaves(expr: &Expr) -> Vec<String> {
    let words = |term: &Term| term.leaf.as_ref().map_or_else(|| "1".to_owned(), Expr::to_string);
    read(expr).unwrap_or_else(|why| panic!("{expr}: {why}")).iter().map(words).collect()
}

#[test]
fn sums_differences_and_literal_factors_are_terms() {
    assert_eq!(leaves(&(col("a") + col("b"))), ["a", "b"]);
    assert_eq!(leaves(&(col("a") - lit(1000i64) * col("b") + lit(7i64))), ["a", "b", "1"]);
    assert_eq!(leaves(&(-(col("a") * col("b")))), ["a * b"]);
    assert_eq!(leaves(&((col("a") + lit(1i64)) * (col("b") - lit(2i64)))), ["a * b", "a", "b", "1"]);
    assert_eq!(leaves(&(col("x") / lit(18.0) + lit(0.0))), ["x"]);
    assert_eq!(leaves(&cast(cast(col("a"), DataType::Float64) * lit(2.5), DataType::Float64)), ["a"]);
    assert_eq!(leaves(&(cast(col("d"), DataType::Date32) - col("e"))), ["CAST(d AS Date32) - e"]);
    assert_eq!(leaves(&(lit(0i64) * col("a"))), Vec::<String>::new());
}

#[test]
fn each_branch_of_a_case_is_a_term_under_its_condition_and_not_the_earlier_ones() {
    let (first, second) = (col("c").gt(lit(5i64)), col("c").gt(lit(2i64)));
    let case = when(first.clone(), col("a")).when(second.clone(), lit(0i64)).otherwise(col("b")).unwrap();
    let terms = read(&case).unwrap();
    let conditions: Vec<Vec<Expr>> = terms.into_iter().map(|term| term.when).collect();
    assert_eq!(conditions, [vec![first.clone()], vec![first.clone().is_not_true(), second.is_not_true()]]);
    let flag = cast(first.clone(), DataType::Int64);
    assert_eq!(read(&flag).unwrap(), [Term { leaf: None, when: vec![first] }]);
}

#[test]
fn what_rounds_wraps_or_overlaps_is_refused() {
    let (a, x) = (col("a"), col("x"));
    let condition = |least: i64| when(col("c").gt(lit(least)), col("a")).otherwise(lit(0i64)).unwrap();
    let refused = [
        a.clone() / lit(10i64),
        a.clone() % lit(10i64),
        col("m") / lit(3i64),
        cast(x.clone(), DataType::Int64),
        cast(x.clone(), DataType::Decimal128(18, 1)),
        cast(x.clone() / lit(1000.0), DataType::Decimal128(18, 4)),
        x.clone() + lit(1e17),
        x.clone() * lit(1e-5) * lit(1e-5),
        x / lit(0.0),
        condition(3) - condition(4),
        col("odd"),
        a.clone() + col("b") + col("c") + col("m") + a.clone() * a,
    ];
    for expr in refused {
        assert_eq!(read(&expr).map_err(|why| why.code), Err("SUM_NOT_JUDGED"), "{expr}");
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn number(&mut self) -> i64 {
        self.below(7) as i64 - 3
    }

    fn column(&mut self) -> Expr {
        col(["a", "b", "c"][self.below(3) as usize])
    }

    fn condition(&mut self) -> Expr {
        let (column, end) = (self.column(), lit(self.number()));
        if self.below(2) == 0 { column.gt(end) } else { column.is_null() }
    }

    fn expr(&mut self, depth: u32) -> Expr {
        match self.below(if depth == 0 { 2 } else { 8 }) {
            0 => self.column(),
            1 => lit(self.number()),
            2 => self.expr(depth - 1) + self.expr(depth - 1),
            3 => self.expr(depth - 1) - self.expr(depth - 1),
            4 => self.expr(depth - 1) * self.expr(depth - 1),
            5 => -self.expr(depth - 1),
            6 => when(self.condition(), self.expr(depth - 1)).end().unwrap(),
            _ => when(self.condition(), self.expr(depth - 1)).otherwise(self.expr(depth - 1)).unwrap(),
        }
    }
}

/// A row's value by the plain meaning of SQL; truth values are 0 and 1.
fn value(expr: &Expr, row: &[Option<i64>; 3]) -> Option<i64> {
    match expr {
        Expr::Column(column) => row["abc".find(&column.name).unwrap()],
        Expr::Literal(ScalarValue::Int64(x), _) => *x,
        Expr::Negative(inner) => Some(-value(inner, row)?),
        Expr::IsNull(inner) => Some(i64::from(value(inner, row).is_none())),
        Expr::IsNotTrue(inner) => Some(i64::from(value(inner, row) != Some(1))),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (x, y) = (value(left, row)?, value(right, row)?);
            Some(match op {
                Operator::Plus => x + y,
                Operator::Minus => x - y,
                Operator::Multiply => x * y,
                Operator::Gt => i64::from(x > y),
                other => panic!("{other}"),
            })
        }
        Expr::Case(Case { when_then_expr, else_expr, .. }) => {
            let chosen = when_then_expr.iter().find(|(when, _)| value(when, row) == Some(1)).map(|(_, then)| then);
            chosen.or(else_expr.as_ref()).and_then(|result| value(result, row))
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_value_without_any_of_its_terms_is_zero_or_null() {
    let seed = 20_261_123;
    println!("seed {seed}");
    let mut random = Random(seed);
    let (mut judged, mut empty) = (0, 0);
    for _ in 0..4000 {
        let expr = random.expr(3);
        let Ok(terms) = read(&expr) else { continue };
        judged += 1;
        for _ in 0..40 {
            let row = [(); 3].map(|()| if random.below(5) == 0 { None } else { Some(random.number()) });
            let holds = |condition: &Expr| value(condition, &row) == Some(1);
            let counts = |term: &Term| {
                term.when.iter().all(holds)
                    && term.leaf.as_ref().is_none_or(|leaf| value(leaf, &row).is_some_and(|x| x != 0))
            };
            if !terms.iter().any(counts) {
                empty += 1;
                assert!(
                    matches!(value(&expr, &row), None | Some(0)),
                    "{expr} of {row:?} has other terms than {terms:?}"
                );
            }
        }
    }
    println!("{judged} of 4000 expressions read, {empty} rows without a term");
    assert!(judged > 1000 && empty > 10_000, "{judged} and {empty}");
}
