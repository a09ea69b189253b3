//! Claims about expressions of a site's own work: what is answered with noise fails on no row.

use query_planner::catalog::SiteName;
use query_planner::noise::{Asked, Mechanism};
use query_planner::{Audience, Compiled, Options, Settings, merge, plan};

use crate::local::{NetworkFacts, Partials, partials_blocking};
use crate::source::SiteData;

/// The ends of what each type and declaration allows, nothing, and what lies between.
const IDS: [&str; 6] = ["", "-9223372036854775808", "9223372036854775807", "-1", "0", "1"];
const DECLARED: [&str; 5] = ["", "-7", "100", "0", "1"];
const DECIMALS: [&str; 5] = ["", "-99999999.99", "99999999.99", "0.00", "0.01"];
const REALS: [&str; 7] = ["", "-1e308", "1e308", "0", "-0.0", "5e-324", "2.5"];
const DATES: [&str; 4] = ["", "0001-01-01", "9999-12-31", "1970-01-01"];
const TEXTS: [&str; 5] = ["", "ß%_\\", "99999999999999999999", "İstanbul", "(["];

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A site whose rows are edges: every value of each column beside every other's by turns.
fn edges(folder: &Folder) {
    let columns: [&[&str]; 6] = [&IDS, &DECLARED, &DECIMALS, &REALS, &DATES, &TEXTS];
    let row = |number: usize| {
        let values = columns.iter().enumerate().map(|(at, values)| values[(number / (at + 1) + number) % values.len()]);
        let quoted = values.map(|value| format!("\"{value}\"")).collect::<Vec<_>>();
        format!("{},{}\n", number % 9, quoted.join(","))
    };
    let rows: String = (0..420).map(row).collect();
    // The other sites are there because a network has them.
    const ONE: &str = "1,1,1,1.00,1,1970-01-01,x\n";
    for (site, rows) in [("A", rows.as_str()), ("B", ONE), ("C", ONE)] {
        std::fs::create_dir_all(folder.0.join(site)).unwrap();
        std::fs::write(folder.0.join(site).join("t.csv"), format!("person_id,i,d,c,r,b,s\n{rows}")).unwrap();
    }
}

const SETTINGS: &str = "[tables.t]\nrows_per_patient = 60\n[tables.t.columns]\nperson_id = { type = 'int' }\n\
    i = { type = 'int' }\nd = { type = 'int', range = [-7, 100] }\nc = { type = 'decimal(10,2)' }\nr = { type = 'real' }\n\
    b = { type = 'date' }\ns = { type = 'text' }\n";

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    /// A number: an integer, a decimal or a real.
    fn number(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.one(&["i", "d", "d", "c", "r", "0", "1", "-1", "3", "2.5", "1e300", "NULL"]).to_owned();
        }
        let mut inner = || self.number(depth - 1);
        let (a, b) = (inner(), inner());
        match self.below(16) {
            0..=4 => format!("({a} {} {b})", self.one(&["+", "-", "*", "/", "%"])),
            5 => format!("(-{a})"),
            6 => format!("ABS({a})"),
            7 => format!("LEAST({a}, {})", self.one(&["100", "3", "d", "i"])),
            8 => format!("GREATEST({a}, {})", self.one(&["-100", "1", "d", "i"])),
            9 => format!("NULLIF({a}, 0)"),
            10 => {
                let to = self.one(&["SMALLINT", "INT", "BIGINT", "DOUBLE", "DECIMAL(12, 2)", "DECIMAL(38, 4)"]);
                format!("{}({a} AS {to})", self.one(&["CAST", "TRY_CAST"]))
            }
            11 => format!("CASE WHEN {a} > {b} THEN {a} ELSE {b} END"),
            12 => format!("{}({a})", self.one(&["FLOOR", "ROUND", "SIGNUM", "EXP", "SQRT", "LN", "CEIL"])),
            13 => format!("width_bucket({a}, {}, 100, 7)", self.one(&["0", "d", "100", "-3"])),
            14 => {
                let part = self.one(&["YEAR", "MONTH", "DOY", "WEEK", "QUARTER", "DOW", "HOUR"]);
                format!("EXTRACT({part} FROM b)")
            }
            _ => format!("CHAR_LENGTH({})", self.text(depth - 1)),
        }
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .one(&["s", "s", "'abc'", "''", "CAST(d AS TEXT)", "CAST(b AS TEXT)", "CAST(r AS TEXT)"])
                .to_owned();
        }
        let inner = self.text(depth - 1);
        match self.below(6) {
            0 => format!("{}({inner})", self.one(&["UPPER", "LOWER", "TRIM", "LTRIM", "REVERSE"])),
            1 => format!("{}({inner}, {})", self.one(&["LEFT", "RIGHT"]), self.one(&["0", "1", "3", "d", "i"])),
            2 => format!("COALESCE({inner}, 'x')"),
            3 => format!("CAST({} AS TEXT)", self.number(depth - 1)),
            4 => format!("REPEAT({inner}, {})", self.one(&["2", "d"])),
            _ => inner,
        }
    }

    fn condition(&mut self) -> String {
        match self.below(6) {
            0 => format!("{} LIKE {}", self.text(1), self.one(&["'a%_'", "s", "'%\\%'"])),
            1 => format!("STRPOS({}, {}) > 0", self.text(1), self.text(0)),
            2 => format!("{} IN ('x', {})", self.text(2), self.text(0)),
            _ => format!("{} {} {}", self.number(2), self.one(&["<", "=", ">="]), self.number(1)),
        }
    }

    fn question(&mut self) -> String {
        let condition = self.condition();
        match self.below(4) {
            0 => format!("SELECT COUNT(*) FROM A.t WHERE {condition}"),
            1 => format!("SELECT COUNT(*) FILTER (WHERE {condition}) FROM A.t"),
            2 => format!("SELECT SUM(LEAST(GREATEST(CAST({} AS BIGINT), -9), 9)) FROM A.t", self.number(2)),
            _ => {
                let figure = self.one(&["SUM", "MIN", "MAX", "AVG", "COUNT"]);
                let below = format!("SELECT person_id, {figure}({}) AS v FROM A.t GROUP BY person_id", self.number(1));
                format!("SELECT COUNT(*) FROM ({below}) p WHERE v > 3")
            }
        }
    }
}

#[test]
fn what_is_answered_with_noise_fails_on_no_row() {
    let folder = Folder(std::env::temp_dir().join(format!("consilium-every-row-{}", std::process::id())));
    edges(&folder);
    let (site, settings) = (SiteName::from("A"), Settings::from_toml(SETTINGS).unwrap());
    let open = |site: &str| SiteData::open(&folder.0.join(site)).unwrap();
    let schemas = ["A", "B", "C"].map(|site| (SiteName::from(site), open(site).schema(&settings.patient_key)));
    let catalog = merge::merge(&schemas, &settings).unwrap();
    let data = open("A").bind(&catalog, &site).unwrap();
    let asked = Asked { epsilon: "1".parse().unwrap(), mechanism: Mechanism::Laplace };
    let with = |noise| Options { now_ms: 0, audience: Audience::Analyst, noise };
    let run = |compiled: &Compiled| -> Result<Vec<Partials>, String> {
        let facts = NetworkFacts::of(&compiled.joint);
        let stages = compiled.local.iter().zip(&compiled.joint.sums);
        stages
            .map(|(stage, sum)| partials_blocking(stage, sum, &site, &data, facts).map_err(|e| e.to_string()))
            .collect()
    };
    let seed = 20_261_122;
    println!("seed {seed}");
    let mut impossible = std::collections::BTreeMap::new();
    let (mut dice, mut accepted, mut failing, mut wrong) = (Dice(seed), 0, 0, Vec::new());
    for _ in 0..QUESTIONS {
        let sql = dice.question();
        match (plan(&sql, &catalog, &with(Some(asked))), plan(&sql, &catalog, &with(None))) {
            (Ok(compiled), _) => {
                accepted += 1;
                wrong.extend(run(&compiled).err().map(|failed| format!("{sql}: {failed}")));
            }
            (Err(_), Ok(plain)) => failing += usize::from(run(&plain).is_err()),
            (Err(refused), Err(_)) => *impossible.entry(refused.code).or_insert(0) += 1,
        }
    }
    println!("of {QUESTIONS} questions {accepted} are answered; of those refused {failing} do fail on these rows");
    println!("also refused without noise: {impossible:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(accepted > QUESTIONS / 20 && failing > QUESTIONS / 20, "the rows and questions are worth asking");
}

const QUESTIONS: usize = 500;
