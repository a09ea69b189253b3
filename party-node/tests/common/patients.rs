//! Random patients with events at several sites, and random questions that need a patient to be counted once.
//!
//! A question is one text for both databases: `day` is a date here and a number of days there, and a date is written `{17}`.

use super::generator::Random;

/// How the sites' patients relate.
#[derive(Debug, Clone, Copy)]
pub enum Overlap {
    Some,
    Disjoint,
    Equal,
    /// As `Some`, but the first site has nobody.
    OneEmpty,
}

/// A row of `event`.
#[derive(Clone)]
pub struct Event {
    pub person: i64,
    pub code: Option<&'static str>,
    /// Days after 2020-01-01.
    pub day: i64,
    pub n: Option<i64>,
}

/// A row of `patient`; duplicates occur.
#[derive(Clone)]
pub struct Person {
    pub id: i64,
    pub sex: &'static str,
    pub year: i64,
}

/// One site's rows.
pub struct Site {
    pub events: Vec<Event>,
    pub people: Vec<Person>,
}

/// Codes of events.
pub const CODES: [&str; 4] = ["flu", "gout", "none", "zost"];
/// Last day of an event.
pub const LAST_DAY: i64 = 200;
/// Most events of one person at one site.
pub const MOST_EVENTS: i64 = 4;

/// The rows of `sites` sites.
pub fn sites(random: &mut Random, sites: usize, overlap: Overlap) -> Vec<Site> {
    let people = |random: &mut Random, site: usize| -> Vec<i64> {
        let (low, high, percent) = match overlap {
            Overlap::Disjoint => (site as i64 * 100 + 1, site as i64 * 100 + 12, 80),
            Overlap::Equal => (1, 15, 100),
            Overlap::Some | Overlap::OneEmpty => (1, 24, 55),
        };
        let empty = matches!(overlap, Overlap::OneEmpty) && site == 0;
        (low..=high).filter(|_| random.chance(percent) && !empty).collect()
    };
    (0..sites)
        .map(|site| {
            let ids = people(random, site);
            let mut of_all = Site { events: Vec::new(), people: Vec::new() };
            for id in ids {
                of_all.people.extend(person(random, id));
                for _ in 0..random.within(0, MOST_EVENTS) {
                    of_all.events.push(event(random, id));
                }
            }
            of_all
        })
        .collect()
}

/// A row, sometimes twice; sites agree on most people's sex.
fn person(random: &mut Random, id: i64) -> Vec<Person> {
    let usual = if id % 2 == 0 { "F" } else { "M" };
    let sex = if random.chance(90) { usual } else { "F" };
    let row = Person { id, sex, year: 1930 + id * 3 % 70 };
    vec![row; if random.chance(10) { 2 } else { 1 }]
}

fn event(random: &mut Random, person: i64) -> Event {
    let code = if random.chance(10) { None } else { Some(*random.pick(&CODES)) };
    let n = if random.chance(15) { None } else { Some(random.within(-20, 40)) };
    Event { person, code, day: random.within(0, LAST_DAY), n }
}

/// Makes questions over the tables of these sites.
pub struct Maker<'a> {
    pub random: &'a mut Random,
    pub sites: &'a [String],
}

/// A question, and whether it says the order of its rows.
pub struct Question {
    pub text: String,
    pub ordered: bool,
}

impl Maker<'_> {
    /// One of each class, in turn.
    pub fn question(&mut self, number: usize) -> Question {
        let makers: [fn(&mut Self) -> Question; 17] = [
            Self::distinct,
            Self::distinct_by_code,
            Self::rows_and_patients,
            Self::distinct_people,
            Self::within,
            Self::exists,
            Self::top_within,
            Self::roll_up,
            Self::dated,
            Self::flags,
            Self::named,
            Self::named_sum,
            Self::recurrence,
            Self::lag,
            Self::nth,
            Self::by_sex,
            Self::all_named,
        ];
        makers[number % makers.len()](self)
    }

    fn day(&mut self) -> String {
        format!("{{{}}}", self.random.within(0, LAST_DAY))
    }

    fn code(&mut self) -> &'static str {
        self.random.pick::<&'static str>(&CODES)
    }

    /// A condition on the columns of `event`, qualified by `p`.
    fn condition(&mut self, p: &str) -> String {
        let (code, other, day) = (self.code(), self.code(), self.day());
        match self.random.below(6) {
            0 => format!("{p}code = '{code}'"),
            1 => format!("{p}code IN ('{code}', '{other}')"),
            2 => format!("{p}day >= {day}"),
            3 => format!("{p}n > {}", self.random.within(-20, 30)),
            4 => format!("{p}code <> '{code}' AND {p}day < {day}"),
            _ => format!("{p}n IS NOT NULL"),
        }
    }

    fn maybe_where(&mut self) -> String {
        if self.random.chance(60) { format!(" WHERE {}", self.condition("")) } else { String::new() }
    }

    fn two_sites(&mut self) -> (String, String) {
        let first = self.random.below(self.sites.len() as u64) as usize;
        let step = 1 + self.random.below(self.sites.len() as u64 - 1) as usize;
        (self.sites[first].clone(), self.sites[(first + step) % self.sites.len()].clone())
    }

    fn whole(text: String) -> Question {
        Question { text, ordered: true }
    }

    fn distinct(&mut self) -> Question {
        let condition = self.maybe_where();
        Self::whole(format!("SELECT COUNT(DISTINCT person_id) AS patients FROM event{condition}"))
    }

    fn distinct_by_code(&mut self) -> Question {
        let condition = self.maybe_where();
        let text = format!("SELECT code, COUNT(DISTINCT person_id) AS patients FROM event{condition} GROUP BY code");
        Question { text, ordered: false }
    }

    fn rows_and_patients(&mut self) -> Question {
        let condition = self.maybe_where();
        Self::whole(format!(
            "SELECT COUNT(*) AS n, COUNT(DISTINCT person_id) AS patients, SUM(n) AS s FROM event{condition}"
        ))
    }

    fn distinct_people(&mut self) -> Question {
        let table = *self.random.pick(&["event", "patient"]);
        let condition = if table == "event" { self.maybe_where() } else { " WHERE year_of_birth > 1950".into() };
        Self::whole(format!("SELECT COUNT(*) AS n FROM (SELECT DISTINCT person_id FROM {table}{condition}) t"))
    }

    fn aggregate(&mut self) -> &'static str {
        self.random.pick::<&'static str>(&[
            "COUNT(*)",
            "COUNT(DISTINCT e.person_id)",
            "SUM(e.n)",
            "COUNT(e.n)",
            "AVG(e.n)",
        ])
    }

    fn within(&mut self) -> Question {
        let (inner, outer) = (self.condition(""), self.condition("e."));
        let (what, not) = (self.aggregate(), if self.random.chance(40) { "NOT " } else { "" });
        Self::whole(format!(
            "SELECT {what} AS x FROM event e WHERE e.person_id {not}IN (SELECT person_id FROM event WHERE {inner}) AND {outer}"
        ))
    }

    fn exists(&mut self) -> Question {
        let (inner, what) = (self.condition("o."), self.aggregate());
        let not = if self.random.chance(40) { "NOT " } else { "" };
        Self::whole(format!(
            "SELECT {what} AS x FROM event e WHERE {not}EXISTS (SELECT 1 FROM event o WHERE o.person_id = e.person_id AND {inner})"
        ))
    }

    fn top_within(&mut self) -> Question {
        let code = self.code();
        let what = *self.random.pick(&["COUNT(DISTINCT c.person_id)", "COUNT(*)"]);
        Self::whole(format!(
            "SELECT c.code, {what} AS x FROM event c WHERE c.code IS NOT NULL AND c.person_id IN (SELECT person_id FROM event \
             WHERE code = '{code}') GROUP BY c.code ORDER BY x DESC, c.code LIMIT {}",
            self.random.within(1, 3)
        ))
    }

    fn roll_up(&mut self) -> Question {
        let condition = self.maybe_where();
        let wanted = match self.random.below(4) {
            0 => format!("m - d >= {}", self.random.within(0, 80)),
            1 => format!("s > {}", self.random.within(-20, 60)),
            2 => format!("c >= {}", self.random.within(1, 5)),
            _ => format!("c BETWEEN 2 AND 4 OR d < {}", self.day()),
        };
        let what = *self.random.pick(&["COUNT(*)", "SUM(s)", "AVG(c)", "SUM(m - d)"]);
        Self::whole(format!(
            "WITH r AS (SELECT person_id, MIN(day) AS d, MAX(day) AS m, SUM(n) AS s, COUNT(*) AS c FROM event{condition} \
             GROUP BY person_id) SELECT {what} AS x FROM r WHERE {wanted}"
        ))
    }

    fn dated(&mut self) -> Question {
        let (left, right) = (self.condition(""), self.condition(""));
        let compared = match self.random.below(3) {
            0 => "a.d <= b.m".to_owned(),
            1 => format!("b.m - a.d BETWEEN {} AND 90", self.random.within(0, 30)),
            _ => "a.d = b.m OR a.d > b.m".to_owned(),
        };
        Self::whole(format!(
            "WITH a AS (SELECT person_id, MIN(day) AS d FROM event WHERE {left} GROUP BY person_id), b AS (SELECT person_id, \
             MAX(day) AS m FROM event WHERE {right} GROUP BY person_id) SELECT COUNT(*) AS n FROM a JOIN b ON a.person_id = \
             b.person_id WHERE {compared}"
        ))
    }

    fn flags(&mut self) -> Question {
        let (left, right) = (self.condition(""), self.condition(""));
        let text = format!(
            "WITH a AS (SELECT DISTINCT person_id FROM event WHERE {left}), b AS (SELECT DISTINCT person_id FROM event WHERE \
             {right}), p AS (SELECT DISTINCT person_id FROM patient) SELECT CASE WHEN a.person_id IS NULL THEN 0 ELSE 1 END AS x, \
             CASE WHEN b.person_id IS NULL THEN 0 ELSE 1 END AS y, COUNT(*) AS n FROM p LEFT JOIN a ON p.person_id = a.person_id \
             LEFT JOIN b ON p.person_id = b.person_id GROUP BY 1, 2"
        );
        Question { text, ordered: false }
    }

    fn named(&mut self) -> Question {
        let (one, other) = self.two_sites();
        let (left, right) = (self.condition("a."), self.condition("b."));
        let dated = if self.random.chance(50) { " AND a.day <= b.day" } else { "" };
        Self::whole(format!(
            "SELECT COUNT(DISTINCT a.person_id) AS n FROM {one}.event a JOIN {other}.event b ON a.person_id = b.person_id WHERE \
             {left} AND {right}{dated}"
        ))
    }

    fn named_sum(&mut self) -> Question {
        let (one, other) = self.two_sites();
        let condition = self.condition("");
        Self::whole(format!(
            "SELECT COUNT(*) AS n, SUM(d.s) AS s FROM (SELECT person_id, SUM(n) AS s FROM {one}.event WHERE n IS NOT NULL GROUP BY \
             person_id) d JOIN (SELECT DISTINCT person_id FROM {other}.event WHERE {condition}) c ON d.person_id = c.person_id"
        ))
    }

    fn recurrence(&mut self) -> Question {
        let (condition, least) = (self.condition(""), self.random.within(0, 20));
        Self::whole(format!(
            "WITH e AS (SELECT person_id, day AS d, ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY day) AS r FROM event WHERE \
             {condition}) SELECT COUNT(DISTINCT a.person_id) AS n FROM e a JOIN e b ON a.person_id = b.person_id AND b.r = a.r + 1 \
             WHERE b.d - a.d BETWEEN {least} AND {}",
            least + 30
        ))
    }

    fn lag(&mut self) -> Question {
        let condition = self.maybe_where();
        let what = *self.random.pick(&["COUNT(DISTINCT person_id)", "COUNT(*)"]);
        Self::whole(format!(
            "SELECT {what} AS n FROM (SELECT person_id, day - LAG(day) OVER (PARTITION BY person_id ORDER BY day) AS gap FROM \
             event{condition}) t WHERE gap <= {}",
            self.random.within(0, 60)
        ))
    }

    fn nth(&mut self) -> Question {
        let condition = self.maybe_where();
        let (wanted, what) = match self.random.below(3) {
            0 => (format!("r = 1 AND d >= {}", self.day()), "COUNT(*)"),
            1 => (format!("r >= {}", self.random.within(2, 4)), "COUNT(DISTINCT person_id)"),
            _ => (format!("r = 2 AND d < {}", self.day()), "COUNT(*)"),
        };
        Self::whole(format!(
            "WITH e AS (SELECT person_id, day AS d, ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY day) AS r FROM \
             event{condition}) SELECT {what} AS n FROM e WHERE {wanted}"
        ))
    }

    fn by_sex(&mut self) -> Question {
        let condition = self.condition("c.");
        let text = format!(
            "SELECT p.sex, COUNT(DISTINCT c.person_id) AS n FROM event c JOIN (SELECT DISTINCT person_id, sex FROM patient) p ON \
             p.person_id = c.person_id WHERE {condition} GROUP BY p.sex"
        );
        Question { text, ordered: false }
    }

    fn all_named(&mut self) -> Question {
        let first = &self.sites[0];
        let joins = self.sites[1..]
            .iter()
            .enumerate()
            .map(|(i, site)| format!(" JOIN {site}.patient s{i} ON s.person_id = s{i}.person_id"));
        let joins: String = joins.collect();
        Self::whole(format!("SELECT COUNT(DISTINCT s.person_id) AS n FROM {first}.patient s{joins}"))
    }
}
