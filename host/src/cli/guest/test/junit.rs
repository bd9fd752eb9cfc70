use quick_junit::{NonSuccessKind, Report as Document, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::report::Report;

/// What CI servers read: a suite for each guest, a test for each check.
pub(super) fn xml(reports: &[Report]) -> Result<String, SerializeError> {
    let mut document = Document::new("aurora guest test");
    for report in reports {
        let mut suite = TestSuite::new(report.name.as_str());
        for line in &report.lines {
            let status = if line.wrong.is_empty() {
                TestCaseStatus::success()
            } else {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                let first = line.wrong.first().and_then(|text| text.lines().next()).unwrap_or_default();
                status.set_message(first).set_description(line.wrong.join("\n"));
                status
            };
            let mut test = TestCase::new(line.name.as_str(), status);
            test.set_classname(report.name.as_str()).set_time(line.took);
            if let Some(what) = &line.what {
                test.set_system_out(what.as_str());
            }
            suite.add_test_case(test);
        }
        document.add_test_suite(suite);
    }
    document.to_string()
}
