//! What the property tests share.

use proptest::test_runner::Config;

/// So many cases, unless `PROPTEST_CASES` asks for another number.
pub(crate) fn cases(usual: u32) -> Config {
    let mut config = Config {
        max_shrink_iters: 2000,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = usual;
    }
    config
}
