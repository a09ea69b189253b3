//! Random tables and random questions of the class "sums and counts", each question in two spellings: ours and SQLite's.

use std::fmt::Write;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From `low` to `high`, both included.
    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// A row of `visit`; NULL is none. `dose` is in eighths and `cost` in cents, so that sums are exact.
#[derive(Clone)]
pub struct Visit {
    pub person: i64,
    pub n: Option<i64>,
    pub k: Option<i64>,
    pub dose8: Option<i64>,
    pub cents: Option<i64>,
    pub sex: Option<&'static str>,
    pub code: Option<&'static str>,
    /// Days after 2020-01-01.
    pub day: Option<i64>,
    pub ok: Option<bool>,
}

/// A row of `patient`: person, sex, year of birth.
#[derive(Clone)]
pub struct Patient(pub i64, pub Option<&'static str>, pub i64);

pub fn visits(random: &mut Random, rows: u64) -> Vec<Visit> {
    let mut all: Vec<Visit> = Vec::new();
    while (all.len() as u64) < rows {
        if !all.is_empty() && random.chance(10) {
            let again = random.pick(&all).clone();
            all.push(again);
            continue;
        }
        let mut maybe = |low, high| if random.chance(15) { None } else { Some(random.within(low, high)) };
        let (n, k, dose8, cents, day) =
            (maybe(-60, 60), maybe(0, 3), maybe(-200, 800), maybe(-5000, 99999), maybe(0, 365));
        all.push(Visit {
            person: random.within(1, 40),
            n,
            k,
            dose8,
            cents,
            sex: *random.pick(&[Some("F"), Some("M"), None]),
            code: *random.pick(&[Some("a1"), Some("a2"), Some("b1"), Some("ä x"), Some("it's, \"so\""), None]),
            day,
            ok: *random.pick(&[Some(true), Some(false), None]),
        });
    }
    all
}

pub fn patients(random: &mut Random) -> Vec<Patient> {
    let there: Vec<i64> = (1..=40).filter(|_| random.chance(60)).collect();
    there
        .into_iter()
        .map(|id| Patient(id, *random.pick(&[Some("F"), Some("M"), None]), random.within(1930, 2010)))
        .collect()
}

/// A number in both spellings. SQLite's is `unit` times as large and an integer, where `exact`.
#[derive(Clone)]
struct Term {
    ours: String,
    lite: String,
    unit: f64,
    exact: bool,
}

/// A condition in both spellings.
struct Condition(String, String);

/// How a column of the two answers is compared.
#[derive(Clone, Copy)]
pub struct Compare {
    /// SQLite's number is so many times ours.
    pub unit: f64,
    /// Ours is the root of SQLite's.
    pub root: bool,
}

/// A question in both spellings.
pub struct Question {
    pub ours: String,
    pub lite: String,
    pub columns: Vec<Compare>,
    /// Does it say the order of its rows?
    pub ordered: bool,
}

/// Ask also what is answered wrongly at present? Each has a test of its own in `queries.rs`: the same key twice, two lists of
/// one column under OR, the average of a decimal. Set this to true when those pass.
const ASK_ALL: bool = true;

const AS_IS: Compare = Compare { unit: 1.0, root: false };

/// Makes questions over the tables of `sites`; `p` qualifies columns of `visit` (`v.` in joins).
pub struct Maker<'a> {
    pub random: &'a mut Random,
    pub sites: &'a [String],
    p: &'static str,
}

impl<'a> Maker<'a> {
    pub fn new(random: &'a mut Random, sites: &'a [String]) -> Self {
        Self { random, sites, p: "" }
    }

    pub fn question(&mut self) -> Question {
        self.p = "";
        match self.random.below(12) {
            0..=1 => self.over("visit".into(), "visit".into(), None),
            2..=5 => self.grouped("visit".into(), "visit".into(), None),
            6 => self.common_table(),
            7 => self.one_site(),
            8..=9 => self.joined(),
            10 => self.membership(),
            _ => self.nested(),
        }
    }

    fn site(&mut self) -> String {
        self.random.pick(self.sites).clone()
    }

    /// `SELECT aggregates FROM … [WHERE …]`.
    fn over(&mut self, ours: String, lite: String, also: Option<Condition>) -> Question {
        let columns: Vec<_> = (0..self.random.within(1, 4)).map(|_| self.aggregate()).collect();
        let condition = self.optional_where(also);
        let list = |side: fn(&(Term, Compare)) -> &String| {
            columns.iter().enumerate().map(|(i, c)| format!("{} AS c{i}", side(c))).collect::<Vec<_>>().join(", ")
        };
        Question {
            ours: format!("SELECT {} FROM {ours}{}", list(|c| &c.0.ours), condition.0),
            lite: format!("SELECT {} FROM {lite}{}", list(|c| &c.0.lite), condition.1),
            columns: columns.iter().map(|c| c.1).collect(),
            ordered: true,
        }
    }

    fn grouped(&mut self, ours: String, lite: String, also: Option<Condition>) -> Question {
        let mut keys: Vec<Condition> = (0..self.random.within(1, 2)).map(|_| self.key()).collect();
        if !ASK_ALL {
            keys.dedup_by(|a, b| a.0 == b.0);
        }
        let aggregates: Vec<_> = (0..self.random.within(1, 3)).map(|_| self.aggregate()).collect();
        let condition = self.optional_where(also);
        let mut sides = [(String::from("SELECT "), ours, condition.0), (String::from("SELECT "), lite, condition.1)];
        let having = self.random.chance(30).then(|| format!(" HAVING COUNT(*) >= {}", self.random.within(1, 30)));
        let by_position = self.random.chance(50);
        let order = self.order(keys.len(), keys.len() + 1);
        for (at, (text, from, condition)) in sides.iter_mut().enumerate() {
            let of = |c: &Condition| if at == 0 { c.0.clone() } else { c.1.clone() };
            for (i, key) in keys.iter().enumerate() {
                let _ = write!(text, "{} AS g{i}, ", of(key));
            }
            let _ = write!(text, "COUNT(*) AS rows_");
            for (i, (term, _)) in aggregates.iter().enumerate() {
                let _ = write!(text, ", {} AS c{i}", if at == 0 { &term.ours } else { &term.lite });
            }
            let by: Vec<String> =
                (0..keys.len()).map(|i| if by_position { (i + 1).to_string() } else { of(&keys[i]) }).collect();
            let _ =
                write!(text, " FROM {from}{condition} GROUP BY {}{}", by.join(", "), having.as_deref().unwrap_or(""));
        }
        let [(mut ours, ..), (mut lite, ..)] = sides;
        if let Some(Condition(our_order, lite_order)) = &order {
            ours += our_order;
            lite += lite_order;
        }
        let columns =
            std::iter::repeat_n(AS_IS, keys.len() + 1).chain(aggregates.iter().map(|(_, compare)| *compare)).collect();
        Question { ours, lite, columns, ordered: order.is_some() }
    }

    /// A total order: by the keys, or by the count and then the keys. PostgreSQL puts NULL above all values.
    fn order(&mut self, keys: usize, count: usize) -> Option<Condition> {
        if self.random.chance(35) {
            return None;
        }
        let mut by = if self.random.chance(40) { vec![count] } else { vec![] };
        by.extend(1..=keys);
        let (mut ours, mut lite) = (vec![], vec![]);
        for column in by {
            let down = self.random.chance(40);
            ours.push(format!("{column}{}", if down { " DESC" } else { "" }));
            lite.push(format!("{column} {}", if down { "DESC NULLS FIRST" } else { "ASC NULLS LAST" }));
        }
        let limit = if self.random.chance(40) { format!(" LIMIT {}", self.random.within(1, 6)) } else { String::new() };
        Some(Condition(
            format!(" ORDER BY {}{limit}", ours.join(", ")),
            format!(" ORDER BY {}{limit}", lite.join(", ")),
        ))
    }

    fn common_table(&mut self) -> Question {
        let inner = self.condition(1);
        let table = format!("{} AS person_id, n, k, dose, cost, sex, code, day, ok", "person_id");
        let lite_table = format!("{table}, cents, dose8, days");
        let mut question = if self.random.chance(50) {
            self.over("c".into(), "c".into(), None)
        } else {
            self.grouped("c".into(), "c".into(), None)
        };
        question.ours = format!("WITH c AS (SELECT {table} FROM visit WHERE {}) {}", inner.0, question.ours);
        question.lite = format!("WITH c AS (SELECT {lite_table} FROM visit WHERE {}) {}", inner.1, question.lite);
        question
    }

    fn one_site(&mut self) -> Question {
        let from = format!("{}.visit", self.site());
        if self.random.chance(50) {
            self.over(from.clone(), from, None)
        } else {
            self.grouped(from.clone(), from, None)
        }
    }

    /// Two tables of one site.
    fn joined(&mut self) -> Question {
        self.p = "v.";
        let (site, kind) = (self.site(), *self.random.pick(&["JOIN", "LEFT JOIN"]));
        let from = format!("{site}.visit v {kind} {site}.patient q ON v.person_id = q.person_id");
        let (year, sex) =
            (self.random.within(1930, 2010), *self.random.pick(&["q.sex = v.sex", "q.sex IS NULL", "q.sex = 'F'"]));
        let text = format!("(q.year_of_birth > {year} OR {sex})");
        let also = self.random.chance(60).then(|| Condition(text.clone(), text));
        if self.random.chance(50) {
            self.over(from.clone(), from, also)
        } else {
            self.grouped(from.clone(), from, also)
        }
    }

    /// IN and EXISTS inside one site.
    fn membership(&mut self) -> Question {
        self.p = "v.";
        let site = self.site();
        let year = self.random.within(1930, 2010);
        let not = if self.random.chance(40) { "NOT " } else { "" };
        let text = if self.random.chance(50) {
            format!("v.person_id {not}IN (SELECT q.person_id FROM {site}.patient q WHERE q.year_of_birth > {year})")
        } else {
            format!(
                "{not}EXISTS (SELECT 1 FROM {site}.patient q WHERE q.person_id = v.person_id AND q.year_of_birth > {year})"
            )
        };
        let from = format!("{site}.visit v");
        self.over(from.clone(), from, Some(Condition(text.clone(), text)))
    }

    /// A subquery in FROM: rows of the network, the union of two sites' rows, or a row for each patient of one site.
    fn nested(&mut self) -> Question {
        let (site, other) = (self.site(), self.site());
        let condition = self.condition(1);
        let columns = [AS_IS, AS_IS, AS_IS];
        let pair = |ours: String, lite: String| Question { ours, lite, columns: columns.into(), ordered: true };
        match self.random.below(3) {
            0 => {
                let text = |c: &str| {
                    format!("SELECT COUNT(*), SUM(t.x), COUNT(t.x) FROM (SELECT n * 2 AS x FROM visit WHERE {c}) t")
                };
                pair(text(&condition.0), text(&condition.1))
            }
            1 => {
                let text = |c: &str| {
                    format!(
                        "SELECT COUNT(*), SUM(u.n), AVG(u.n) FROM (SELECT n FROM {site}.visit WHERE {c} UNION ALL SELECT k FROM {other}.visit) u"
                    )
                };
                pair(text(&condition.0), text(&condition.1))
            }
            _ => {
                let text = |c: &str| {
                    format!(
                        "SELECT COUNT(*), SUM(t.c), AVG(t.s) FROM (SELECT person_id, COUNT(*) AS c, SUM(n) AS s \
                         FROM {site}.visit WHERE {c} GROUP BY person_id) t WHERE t.c > 1"
                    )
                };
                pair(text(&condition.0), text(&condition.1))
            }
        }
    }

    fn aggregate(&mut self) -> (Term, Compare) {
        let filter = if self.random.chance(25) {
            let c = self.condition(1);
            Condition(format!(" FILTER (WHERE {})", c.0), format!(" FILTER (WHERE {})", c.1))
        } else {
            Condition(String::new(), String::new())
        };
        let x = self.number();
        let average = if ASK_ALL || x.unit != 100.0 { x.clone() } else { self.plain("dose") };
        let (fo, fl) = (&filter.0, &filter.1);
        let call = |name: &str, x: &Term, unit| {
            let (ours, lite) = (format!("{name}({}){fo}", x.ours), format!("{name}({}){fl}", x.lite));
            (Term { ours, lite, unit, exact: false }, Compare { unit, root: false })
        };
        match self.random.below(9) {
            0 => {
                (Term { ours: format!("COUNT(*){fo}"), lite: format!("COUNT(*){fl}"), unit: 1.0, exact: false }, AS_IS)
            }
            1 => call("COUNT", &x, 1.0),
            2 | 3 => call("SUM", &x, x.unit),
            4 => call("AVG", &average, average.unit),
            5 => self.ratio(&x),
            _ => self.variance(&x, fo, fl),
        }
    }

    /// A ratio of two aggregates: truncated between integers, real otherwise.
    fn ratio(&mut self, x: &Term) -> (Term, Compare) {
        let y = self.column("k");
        let text = |x: &str, y: &str, times: &str| format!("SUM({x}){times} / NULLIF(COUNT({y}), 0)");
        let times = if x.unit == 1.0 && x.exact && self.random.chance(50) { "" } else { " * 1.0" };
        let term = Term { ours: text(&x.ours, &y, times), lite: text(&x.lite, &y, times), unit: x.unit, exact: false };
        (term, Compare { unit: x.unit, root: false })
    }

    /// By the defining formula, in SQLite's 64-bit integers: (n Σx² − (Σx)²) / (n (n − 1)) or / n².
    fn variance(&mut self, x: &Term, fo: &str, fl: &str) -> (Term, Compare) {
        let x = if x.exact { x.clone() } else { self.plain("dose") };
        let name = *self.random.pick(&["VAR_SAMP", "VAR_POP", "VARIANCE", "STDDEV", "STDDEV_SAMP", "STDDEV_POP"]);
        let lite = &x.lite;
        let (count, sum, squares) =
            (format!("COUNT({lite}){fl}"), format!("SUM({lite}){fl}"), format!("SUM(({lite}) * ({lite})){fl}"));
        let less = if name.ends_with("POP") { 0 } else { 1 };
        let formula = format!(
            "CASE WHEN {count} > {less} THEN ({count} * {squares} - {sum} * {sum}) * 1.0 / ({count} * ({count} - {less})) END"
        );
        let compare = Compare { unit: x.unit * x.unit, root: name.starts_with("STDDEV") };
        (Term { ours: format!("{name}({}){fo}", x.ours), lite: formula, unit: 1.0, exact: false }, compare)
    }

    fn column(&self, name: &str) -> String {
        format!("{}{name}", self.p)
    }

    fn plain(&self, name: &str) -> Term {
        let (lite, unit) = match name {
            "dose" => ("dose8", 8.0),
            "cost" => ("cents", 100.0),
            other => (other, 1.0),
        };
        Term { ours: self.column(name), lite: self.column(lite), unit, exact: true }
    }

    fn number(&mut self) -> Term {
        let p = self.p;
        let int = |text: String| Term { ours: text.clone(), lite: text, unit: 1.0, exact: true };
        let real = |text: String| Term { ours: text.clone(), lite: text, unit: 1.0, exact: false };
        let c = self.random.within(2, 9);
        match self.random.below(14) {
            0..=1 => self.plain("n"),
            2..=3 => self.plain("dose"),
            4..=5 => self.plain("cost"),
            6 => int(format!("({p}n * {c} - {p}k)")),
            7 => int(format!("({p}n / {c})")),
            8 => int(format!("({p}n % {c})")),
            9 => int(format!("COALESCE({p}n, {p}k, {c})")),
            10 => {
                let when = self.condition(0);
                let text = |when: &str| format!("CASE WHEN {when} THEN abs({p}n) WHEN {p}k = 1 THEN {c} END");
                Term { ours: text(&when.0), lite: text(&when.1), unit: 1.0, exact: true }
            }
            11 => {
                Term { ours: format!("({p}day - DATE '2020-01-01')"), lite: format!("{p}days"), unit: 1.0, exact: true }
            }
            12 => real(format!("({p}dose / {c}.0 + {p}n)")),
            _ => Term {
                ours: format!("({p}cost * {p}k)"),
                lite: format!("({p}cents * {p}k)"),
                unit: 100.0,
                exact: false,
            },
        }
    }

    fn key(&mut self) -> Condition {
        let p = self.p;
        let same = |text: String| Condition(text.clone(), text);
        match self.random.below(8) {
            0 | 1 => same(format!("{p}sex")),
            2 | 3 => same(format!("{p}k")),
            4 => same(format!("{p}code")),
            5 => same(format!("({p}n / {})", self.random.within(15, 30))),
            6 => Condition(format!("EXTRACT(MONTH FROM {p}day)"), format!("CAST(strftime('%m', {p}day) AS INTEGER)")),
            _ => {
                let when = self.condition(0);
                let text = |when: &str| format!("CASE WHEN {when} THEN 'yes' WHEN {p}ok THEN 'perhaps' END");
                Condition(text(&when.0), text(&when.1))
            }
        }
    }

    fn optional_where(&mut self, also: Option<Condition>) -> Condition {
        let condition = self.random.chance(60).then(|| self.condition(2));
        match (condition, also) {
            (None, None) => Condition(String::new(), String::new()),
            (Some(c), None) | (None, Some(c)) => Condition(format!(" WHERE {}", c.0), format!(" WHERE {}", c.1)),
            (Some(c), Some(a)) => {
                Condition(format!(" WHERE {} AND {}", c.0, a.0), format!(" WHERE {} AND {}", c.1, a.1))
            }
        }
    }

    fn condition(&mut self, depth: u32) -> Condition {
        if depth > 0 && self.random.chance(60) {
            let (a, b) = (self.condition(depth - 1), self.condition(depth - 1));
            let join = |text: &str, a: &str, b: &str| text.replace('a', a).replace("\u{1}", b);
            // Stand-ins are replaced once: `a` first, in a text that has no other `a`.
            let form = *self.random.pick(&["(a AND \u{1})", "(a OR \u{1})", "NOT (a)", "(a OR NOT (\u{1}))"]);
            let form = form.replace("AND", "\u{2}");
            return Condition(
                join(&form, &a.0, &b.0).replace('\u{2}', "AND"),
                join(&form, &a.1, &b.1).replace('\u{2}', "AND"),
            );
        }
        self.simple()
    }

    fn simple(&mut self) -> Condition {
        let p = self.p;
        let same = |text: String| Condition(text.clone(), text);
        let op = *self.random.pick(&["<", "<=", ">", ">=", "=", "<>"]);
        let (a, b) = (self.random.within(-50, 50), self.random.within(0, 60));
        match self.random.below(13) {
            0 => same(format!("{p}n {op} {a}")),
            1 => same(format!("{p}n BETWEEN {a} AND {}", a + b)),
            2 => same(format!("{p}k IN (0, {})", self.random.within(1, 3))),
            3 => same(format!("{p}{} NOT IN (1, 2)", if ASK_ALL { "k" } else { "n" })),
            4 => same(format!("{p}code LIKE '{}%'", self.random.pick(&["a", "b", "ä", "it''s", "z"]))),
            5 => same(format!("{p}sex = 'F'")),
            6 => same(format!(
                "{p}{} IS {}NULL",
                self.random.pick(&["n", "sex", "day", "ok", "cost"]),
                self.random.pick(&["", "NOT "])
            )),
            7 => same(format!("{p}ok")),
            8 => same(format!("{p}dose {op} {}.5", b)),
            9 => Condition(format!("{p}cost {op} {b}.25"), format!("{p}cents {op} {b}25")),
            10 => {
                let (month, day) = (self.random.within(1, 12), self.random.within(1, 28));
                let date = format!("'2020-{month:02}-{day:02}'");
                Condition(format!("{p}day {op} DATE {date}"), format!("{p}day {op} {date}"))
            }
            11 => same(format!("{p}n + {p}k {op} {b}")),
            _ => same(format!("COALESCE({p}sex, 'X') <> 'M'")),
        }
    }
}
