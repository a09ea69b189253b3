//! Notes in Chinese (simplified). SQL expressions and names stay as they are.

use super::Note;
use crate::approximate::STANDARD_ERROR;
use crate::disclosure::{distinct_in_chinese, figure_in_chinese};

pub(super) fn words(note: &Note) -> String {
    match note {
        Note::IntegersDivided => "整数除以整数时截去小数，与 PostgreSQL 相同：要得到比值，请将其中之一转换为 DOUBLE".into(),
        Note::NullsLast => "ORDER BY 将 NULL 排在最后，加 DESC 时排在最前，与 PostgreSQL 相同".into(),
        Note::FirstRows => "只公开结果中的各行：数值相同的行，按 ORDER BY 再按分组键的次序取靠前者；被隐藏的数值排在所有显示的数值之后".into(),
        Note::AllGroups => "对已公开的行使用 HAVING、WHERE 和 LIMIT 并不隐藏任何内容：所有分组都先行公开".into(),
        Note::ExactPercentiles => "APPROX_MEDIAN 和 APPROX_PERCENTILE_CONT 在此按精确值计算".into(),
        Note::HiddenInside { least } => format!("min_patients 为 {least}：过小的数值在计算内部即被隐藏，早于任何公开"),
        Note::HiddenCells => "被隐藏的单元格对 WHERE、HAVING 和 LIMIT 而言为 NULL；无论升序或降序，ORDER BY 都将其排在最后；由其算出的内容（包括经 \
                              COALESCE 或 CASE）同样被隐藏"
            .into(),
        Note::LessOwnRows { least } => {
            format!("所有医院都能看到结果：只有当除去任何一家医院自己的数据行之后，余数为 0 或至少为 {least} 时，才显示该数值")
        }
        Note::KeysByRows => "商定哪些分组键，以数据行数为准；显示其中哪些数值，以患者人数为准".into(),
        Note::RowsNotPatients { patient_key } => format!("计数的单位是数据行而不是患者：同一 {patient_key} 可能有多行"),
        Note::SensitiveValues { least } => {
            format!("同一患者可能有敏感分组键的多个取值，因此在同一分组组合的各分组中，须有一个分组自身就有 {least} 名患者")
        }
        Note::JudgedByRows => "数值是否过小，按数据行数而不是患者人数判断".into(),
        Note::Unbounded(figure) => {
            format!("{}没有由声明的范围限定：每家医院在共享任何内容之前先核对自己的部分", figure_in_chinese(figure))
        }
        Note::SortedUnbounded { column, bits } => {
            format!("{column} 未声明范围，按 {bits} 位排序：每家医院自行核对自己的数值")
        }
        Note::Approximate { column, filter } => format!(
            "{}的个数为近似值（标准误差 {:.1}%）；对相同的数据行再次提问，结果相同",
            distinct_in_chinese(column, filter.as_deref()),
            100.0 * STANDARD_ERROR
        ),
        Note::NineDecimals => "实数的百分位数精确到小数点后九位".into(),
        Note::Rounded { sites } => format!("实数的总和在每家医院舍入一次：误差至多为 {sites} · 2^-41"),
        Note::KnownBy { patient_key } => format!("以 {patient_key} 识别患者：无论有多少家医院知道某位患者，都只计一次"),
        Note::WithoutKey { patient_key } => format!("没有 {patient_key} 的数据行不计在内，对 NOT IN 和 NOT EXISTS 也是如此"),
        Note::MostEvents { most } => format!("若某家医院中同一患者须排序的数据行超过 {most} 行，该医院拒绝执行"),
        Note::Clamped { table, column, lo, hi } => {
            format!("按各医院规则的要求，{table}.{column} 中低于 {lo} 或高于 {hi} 的数值分别按这两个值读取")
        }
        Note::ListInFile { receiver, patient_key } => {
            format!("{receiver} 在其状态文件夹的一个文件中得到匹配的 {patient_key}，以其自身的写法列出，每个只列一次")
        }
        Note::NoLeastList => "此处没有最少患者人数的限制：只有一名共同患者时也照样告知".into(),
        Note::EnteredKept => "两家医院都会记下所提交的患者；在须隐藏小数值之处，以后的发布将与之比较".into(),
    }
}
