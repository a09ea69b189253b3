//! Disclosures in Chinese (simplified). SQL expressions and names stay as they are.

use super::{
    Compared, Disclosure, Facts, Figure, Judged, Kind, Known, Operation, Place, PointOf, Recipient, Revealed, Rows,
};
use super::{Says, Sentence, Sites, Spread, Why};
use crate::approximate::{LEVELS, REGISTERS, STANDARD_ERROR};
use crate::noise::{self, Delta, Noise};
use crate::plan::{Fraction, Point};
use crate::released_tables::ReleasedTables;

pub(super) const HEADING: &str = "披露内容";

pub(super) fn sentence(disclosure: &Disclosure) -> Sentence {
    Sentence {
        to: recipient(disclosure.to).into(),
        what: what(&disclosure.what),
        kind: kind(disclosure.kind).into(),
        why: why(disclosure.why).into(),
    }
}

pub(super) fn line(Sentence { to, what, kind, why }: &Sentence) -> String {
    format!("{to}：{what}〔{kind}；{why}〕")
}

fn recipient(to: Recipient) -> &'static str {
    match to {
        Recipient::Analyst => "仅发给分析者",
        Recipient::Everyone => "发给所有医院和分析者",
        Recipient::EachOfTwo => "两家医院各自可得知",
        Recipient::Receiver => "仅发给接收患者名单的医院",
        Recipient::Guesser => "进行猜测的医院与结果接收者合谋时可得知",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Value => "数值",
        Kind::Size => "数量规模",
        Kind::Order => "排序",
        Kind::Keys => "分组取值",
        Kind::Bit => "是或否",
    }
}

fn why(why: Why) -> &'static str {
    match why {
        Why::Asked => "结果中直接给出",
        Why::Common => "查询要求的就是患者名单本身",
        Why::Average => "用于计算平均值",
        Why::Variance => "用于计算方差或标准差",
        Why::Estimate => "用于计算近似个数",
        Why::Empty => "用于区分“没有数据”与“数值为零”",
        Why::Present => "用于判断哪些分组有数据行",
        Why::Beside => "结果中的各列并不需要此数，只是随其他数一并公开",
        Why::Grouping => "各医院须先知道有哪些分组，才能按分组求和",
        Why::Listing => "各行打乱次序后逐行公开，因此行数可见",
        Why::Limit => "查询只要求排在前面的若干行",
        Why::Differencing => "本次结果与以往结果之间不得只相差少数患者",
        Why::SmallCells => "不为此另行公开：小数值须隐藏，哪些被隐藏可从结果中看出",
        Why::Enough => "只有足够多的患者参与时，才显示总和",
        Why::Padding => "不为此另行公开：该数已写在计划中，各医院名单均补足到此长度",
        Why::Follows => "不为此另行公开：可由结果推算得出",
        Why::Noise => "不为此另行公开：它限定了结果最多能透露某一位患者的多少信息",
        Why::Warning => "不为此另行公开：可由结果推算得出，按规定须予提示",
    }
}

/// Who are counted where rare keys stay unknown.
const COUNTED: &str = "名患者（每名患者在每个医院只计一次；表中没有患者标识时按行计）";

fn what(what: &Revealed) -> String {
    match what {
        Revealed::Keys { keys, least: 0 | 1, sites, rows } => {
            format!("{} 在{}（{}）中出现过的取值", keys.join("、"), whose(sites), source(rows))
        }
        Revealed::Keys { keys, least, sites, rows } => format!(
            "{} 在{}（{}）中至少为 {least} {COUNTED}所具有的取值；对其他取值一无所知",
            keys.join("、"),
            over(sites),
            source(rows)
        ),
        Revealed::KeyCount { keys, least: 0 | 1 } => format!("{} 共出现多少个取值", keys.join("、")),
        Revealed::KeyCount { keys, least } => {
            format!("{} 有多少个取值至少为 {least} {COUNTED}所具有", keys.join("、"))
        }
        Revealed::First { limit, descending, keys, figure: of } => {
            let (which, bound) = if *descending { ("最大", "不大于") } else { ("最小", "不小于") };
            format!(
                "{} 中，“{}”{which}的 {limit} 个取值及其次序：未列出的各行，其数值{bound}所列的最后一行，或已被隐藏，或为空",
                keys.join("、"),
                figure(of)
            )
        }
        Revealed::Figure { figure: of, place: at } => format!("{}{}", place(at), figure(of)),
        Revealed::Enough { least, figure: of, place: at } => {
            format!("{}{}是否足以显示相应的总和（至少为 {least}）；不公开该数本身", place(at), figure(of))
        }
        Revealed::Point { point: of, place: at, of_one } => {
            let one = if *of_one { "（这是某一位患者的确切数值）" } else { "" };
            format!("{}{}{one}", place(at), point(of))
        }
        Revealed::Levels { column, filter, place: at } => format!(
            "{}{}的概要中，{REGISTERS} 个寄存器分别有多少个达到 {LEVELS} 级中的每一级：由此得到取值的近似个数\
             （标准误差 {:.1}%），个数很少时几乎精确；若有人已知除一个以外的全部取值，可能看出该取值是否存在",
            place(at),
            distinct(column, filter.as_deref()),
            100.0 * STANDARD_ERROR
        ),
        Revealed::Patients { most, further } => {
            let further = further.map_or_else(String::new, |further| {
                format!("，其中最多 {} 名在一轮匹配中另有最多 {} 个标识", further.patients, further.each)
            });
            format!("每家医院最多有 {most} 名患者{further}；不透露其中哪些患者也在其他医院就诊")
        }
        Revealed::Common { receiver, own, sender, other } => format!(
            "{receiver} 的患者（{}）中，哪些也是 {sender} 的患者（{}）：无论人数多少，逐一告知每名患者；{receiver} \
             若在自身数据中加入某个标识，也会同样得知其是否存在，只能靠制度限制",
            source(own),
            source(other)
        ),
        Revealed::Entered { receiver: (receiver, own), sender: (sender, other) } => {
            format!("{receiver} 最多提交 {own} 名患者，{sender} 最多提交 {other} 名患者；不透露实际有多少名")
        }
        Revealed::Guess { patient_key } => {
            format!("某个猜测的 {patient_key} 对结果有何影响：把它加入自身数据的一方即可加以验证，只能靠制度限制")
        }
        Revealed::Hidden { least, zeros_shown, judged, tables } => hidden(*least, *zeros_shown, *judged, tables),
        Revealed::Noised { noise, sites, hides, figures } => {
            noised(noise, *sites, *hides) + &spread(figures) + NOT_COVERED
        }
        Revealed::Remainder => "仅由两家医院相加的每个总和中，对方的确切部分：总和减去自己的部分即得".into(),
        Revealed::Difference { least, key, of, own } => {
            let (of, refused) = match of {
                Compared::All => ("本次结果", "则拒绝执行"),
                Compared::Whole => {
                    ("本次结果的整体（所有分组合计），或所列分组键所属的全部患者，", "则在商定任何分组键之前拒绝执行")
                }
                Compared::Groups => (
                    "本次结果的某个分组，或某个涉及已匹配患者的数字，",
                    "则不公开任何数字；此时分组键已公开，本次查询计为一次发布",
                ),
            };
            let beside = match own {
                true => "，或本次来自不同行或重复行的两个数字之间是否相差至少一名而不足此数",
                false => "",
            };
            format!(
                "{of}与本研究以往某次结果之间，是否只相差不足 {least} 名患者{beside}（若是{refused}）；不透露是哪一次，也不透露相差几人。为此，各站点这些数字所涉及的患者按 {key} 在各站点之间匹配，仅依据规则 min_patients"
            )
        }
        Revealed::Share { all, patients, group, figure: of } => {
            let whom = if *patients { "患者" } else { "数据行" };
            let keys: Vec<String> = group.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            let place = if keys.is_empty() { String::new() } else { format!("在 {} 中，", keys.join("、")) };
            let share = if *all { format!("全部{whom}都") } else { format!("没有任何{whom}") };
            format!("{place}{share}计入“{}”：因此该结论对其中每一个{whom}都成立", figure(of))
        }
    }
}

/// 噪声未涵盖的内容，与其承诺写在一处。
const NOT_COVERED: &str = "；此后每次运行（包括同一批准下重复同一问题）都再次消耗其 ε（及 δ），且只有设有 [privacy] 的医院会累计消耗；\
    不在此保证之内：医院本地计算失败（患者或事件数超过声明、取值超出声明的范围）、本地计算与抽取噪声的耗时（表达式可使其取决于数据行），\
    以及某医院的数据自先前答复以来是否改变";

fn spread(figures: &[Spread]) -> String {
    let of = |Spread { figure: of, tenths }: &Spread| format!("{} {}.{}", figure(of), tenths / 10, tenths % 10);
    let all: Vec<String> = figures.iter().map(of).collect();
    format!("；每个分组中噪声的标准差：{}", all.join("，"))
}

fn noised(noise: &Noise, sites: u32, hides: bool) -> String {
    let Noise { shape, epsilon, honest_sites, tables } = noise;
    let kind = match shape.kind() {
        noise::Kind::Laplace => "离散拉普拉斯",
        noise::Kind::Gaussian => "离散高斯",
    };
    let also = match noise.delta() {
        Delta(0) => String::new(),
        delta => format!("，至多有 {delta} 的概率例外（δ = {delta}）"),
    };
    let kept =
        tables.iter().map(|kept| format!("；数据表 {} 中每家医院对每名患者最多保留 {} 行", kept.table, kept.rows));
    let small = if hides { "；数值是否过小，按加噪后的数值判断" } else { "" };
    format!(
        "仅就本次运行的这些数值而言：均已加入{kind}噪声，从不公开未加噪的数值；{sites} 家医院中只要有 {honest_sites} 家加入噪声并对其保密，\
         无论如何利用这些数值，某一位患者（连同其在所有医院的全部数据）是否在数据中，其可区分程度最多为 e^{epsilon} 倍\
         （ε = {epsilon}）{also}；加噪后的计数可能为负{small}{}",
        kept.collect::<String>()
    )
}

fn hidden(least: u32, zeros_shown: bool, judged: Judged, tables: &ReleasedTables) -> String {
    let zeros = if zeros_shown { "零照常显示" } else { "零也隐藏" };
    let fewer = match judged {
        Judged::Patients => format!("少于 {least} 人"),
        Judged::Rows => format!("少于 {least} 行"),
        Judged::RowsOrPatients => format!("少于 {least} 行或少于 {least} 人"),
    };
    let (classes, both) = (classes(tables, judged), if tables.asks() { "它们" } else { "两者" });
    format!(
        "哪些单元格被隐藏：{fewer}的单元格（{zeros}）{classes}，以及可据以推算出它们的单元格；{both}均以 <{least} 显示"
    )
}

/// What hides whole classes of groups.
fn classes(ReleasedTables { k_anonymous, l_diverse, sensitive }: &ReleasedTables, judged: Judged) -> String {
    let sensitive: Vec<&str> = sensitive.iter().map(String::as_str).collect();
    let names = sensitive.join("、");
    let mut text = String::new();
    if *k_anonymous > 1 {
        let of = if judged == Judged::Rows { "行" } else { "人" };
        text += &format!("，少于 {k_anonymous} {of}的分组组合的全部单元格");
    }
    if *l_diverse > 1 {
        text += &format!("，{names} 的取值少于 {l_diverse} 个的分组组合的全部单元格");
    }
    let aside = !text.is_empty() && !sensitive.is_empty();
    if aside { format!("{text}（分组组合不含由 {names} 得出的分组）") } else { text }
}

fn place(Place { keys, sites, rows, first_only }: &Place) -> String {
    let per_group =
        if keys.is_empty() { String::new() } else { format!("，按 {} 的每个取值", keys.join("、")) };
    let only = if *first_only { "（仅限上述各行）" } else { "" };
    format!("{}，{}{per_group}{only}：", over(sites), source(rows))
}

fn over(sites: &Sites) -> String {
    match &sites.names[..] {
        [only] => format!("仅 {only} 一家医院"),
        _ if sites.all => "所有医院合计".into(),
        some => format!("{} 合计", joined(some, "、")),
    }
}

fn whose(sites: &Sites) -> String {
    match &sites.names[..] {
        [_] => over(sites),
        [one, other] => format!("{one} 或 {other} 的数据（两家医院各自因此得知哪些取值只有对方才有）"),
        _ if sites.all => "任何一家医院的数据（不透露是哪一家）".into(),
        some => format!("{} 中任何一家医院的数据（不透露是哪一家）", joined(some, "、")),
    }
}

fn joined(sites: &[crate::catalog::SiteName], with: &str) -> String {
    sites.iter().map(|site| site.0.as_str()).collect::<Vec<_>>().join(with)
}

fn source(Rows { tables, conditions, grouped }: &Rows) -> String {
    let mut text = format!("数据表 {}", tables.join("、"));
    if !conditions.is_empty() {
        text += &format!("，条件 {}", conditions.join(" AND "));
    }
    if !grouped.is_empty() {
        text += &format!("，先按 {} 分组", grouped.join("、"));
    }
    text
}

pub(crate) fn figure(Figure { of, filter }: &Figure) -> String {
    let what = match of {
        Operation::Rows => "行数".to_owned(),
        Operation::NotNull(c) => format!("{c} 不为 NULL 的行数"),
        Operation::Value(c) => format!("{c} 的总和"),
        Operation::Square(c) => format!("{c} 的平方和"),
        Operation::Product(a, b) => format!("{a} 与 {b} 的乘积之和"),
        Operation::BothNotNull(a, b) => format!("{a} 与 {b} 均不为 NULL 的行数"),
        Operation::PatientsWith(known) => format!("符合条件（{}）的患者人数", expression(known)),
        Operation::OverPatients(known) => format!("各患者的（{}）之和", expression(known)),
    };
    filtered(what, filter.as_deref())
}

fn filtered(what: String, filter: Option<&str>) -> String {
    filter.map_or(what.clone(), |filter| format!("{what}（仅限 {filter}）"))
}

fn point(of: &PointOf) -> String {
    let column = &of.column;
    let what = match of.point {
        Point::Min => format!("{column} 的最小值"),
        Point::Max => format!("{column} 的最大值"),
        Point::Cont { .. } if of.is_median() => format!("{column} 的中位数"),
        Point::Cont { share } => format!("{column} 的 {} 分位数（插值）", part(share)),
        Point::Disc { share, descending: false } => format!("{column} 由小到大排在 {} 处的值", part(share)),
        Point::Disc { share, descending: true } => format!("{column} 由大到小排在 {} 处的值", part(share)),
    };
    filtered(what, of.filter.as_deref())
}

fn part(share: Fraction) -> String {
    format!("{}/{}", share.numerator, share.denominator)
}

pub(crate) fn distinct(column: &str, filter: Option<&str>) -> String {
    filtered(format!("{column} 的不同取值"), filter)
}

fn expression(known: &Known) -> String {
    let inner = |known: &Known| match known.has_two_sides() {
        true => format!("({})", expression(known)),
        false => expression(known),
    };
    match known {
        Known::Rows(facts) => feature(facts),
        Known::Constant(x) => format!("{x}"),
        Known::Not(a) => format!("并非 {}", inner(a)),
        Known::And(a, b) => format!("{} 且 {}", expression(a), expression(b)),
        Known::Or(a, b) => format!("{} 或 {}", inner(a), inner(b)),
        Known::Differ(a, b) => format!("仅 {} 与 {} 之一", inner(a), inner(b)),
        Known::Less(a, b) => format!("{} < {}", inner(a), inner(b)),
        Known::Equal(a, b) => format!("{} = {}", inner(a), inner(b)),
        Known::Add(a, b) => format!("{} + {}", inner(a), inner(b)),
        Known::Subtract(a, b) => format!("{} - {}", inner(a), inner(b)),
        Known::Multiply(a, b) => format!("{} · {}", inner(a), inner(b)),
        Known::Number(a) => format!("{} 时计 1", inner(a)),
        Known::Select(a, b) => format!("{} 时取 {}", inner(a), inner(b)),
        Known::Gaps { of, at_least, at_most: Some(most) } => {
            format!("相邻两项相差 {at_least} 至 {most} 的次数（{}）", feature(of))
        }
        Known::Gaps { of, at_least, at_most: None } => {
            format!("相邻两项相差 {at_least} 或以上的次数（{}）", feature(of))
        }
        Known::Nth { of, n } => format!("第 {n} 项（{}）", feature(of)),
        Known::Length(of) => format!("项数（{}）", feature(of)),
        Known::Node(node) => format!("节点 {node}"),
    }
}

fn feature(Facts { relation, what, filter, keys }: &Facts) -> String {
    let rows = format!("关系 {relation}");
    let what = match what {
        Says::Any => format!("在{rows} 中有数据行"),
        Says::Count(None) => format!("{rows} 的行数"),
        Says::Count(Some(column)) => format!("{rows} 中 {column} 不为 NULL 的行数"),
        Says::Sum(column) => format!("{rows} 中 {column} 的总和"),
        Says::Least(column) => format!("{rows} 中最小的 {column}"),
        Says::Greatest(column) => format!("{rows} 中最大的 {column}"),
        Says::Events { column, bound } => format!("{rows} 中按次序排列的各个 {column}，每家医院至多 {bound} 个"),
    };
    let filter = filter.as_ref().map(|filter| format!("，{filter}")).unwrap_or_default();
    let keys = if keys.is_empty() { String::new() } else { format!("，按每个 {}", keys.join("、")) };
    format!("{what}{filter}{keys}")
}
