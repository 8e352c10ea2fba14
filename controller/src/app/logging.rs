//! The process's own log: what is written, and how. It goes to standard error, so that standard output is the access log's alone.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{LogFormatChoice, LogLevel, LogOptions};

/// Starts the log for the whole process. A second call changes nothing.
pub fn start(options: LogOptions) {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let layer = match options.log_format {
        LogFormatChoice::Text => layer.with_target(false).boxed(),
        LogFormatChoice::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    // A log that is there already is a test's, or that of a program which this is a part of: it stays.
    let _ = tracing_subscriber::registry().with(layer.with_filter(targets(options.log_level))).try_init();
}

/// Starts a log that has only what is in the way of reading objects, for commands that look at them once.
pub fn start_for_source() {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_target(false);
    let targets = Targets::new().with_target("tidegate::source", LevelFilter::WARN);
    let _ = tracing_subscriber::registry().with(layer.with_filter(targets)).try_init();
}

/// Returns what is written at a level: of libraries only warnings, unless everything is asked for.
fn targets(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let libraries = if level == LogLevel::Trace { LevelFilter::TRACE } else { ours.min(LevelFilter::WARN) };
    // What the API server answers, the watches say themselves, and once.
    let api = if level >= LogLevel::Debug { libraries } else { LevelFilter::OFF };
    let targets = Targets::new().with_default(libraries).with_target("kube_client", api).with_target("kube_runtime", api);
    targets.with_target("tidegate", ours).with_target("tidegate_proxy", ours)
}

#[cfg(test)]
mod tests {
    use tidegate_proxy::settings::Variable;
    use tracing::Level;

    use super::*;

    const HEAD: &str = include_str!("logs.md.head");
    const TAIL: &str = include_str!("logs.md.tail");

    #[test]
    fn the_page_of_logs_is_current() {
        let mut page = format!("<!-- Generated; `UPDATE_GENERATED=1 cargo test -p tidegate --lib` writes it anew. -->\n{HEAD}");
        for variable in Variable::ALL {
            page.push_str(&format!("| `{variable}` | {} |\n", variable.meaning()));
        }
        page.push_str(TAIL);
        crate::generated::assert_current("docs/logs.md", &page);
    }

    #[test]
    fn libraries_are_quiet_unless_everything_is_asked_for() {
        for (level, target, written, would) in [
            (LogLevel::Info, "tidegate::app", Level::INFO, true),
            (LogLevel::Info, "tidegate_proxy::server", Level::INFO, true),
            (LogLevel::Info, "tidegate::app", Level::DEBUG, false),
            (LogLevel::Debug, "hyper", Level::INFO, false),
            (LogLevel::Debug, "kube_client", Level::WARN, true),
            (LogLevel::Info, "kube_client::client", Level::ERROR, false),
            (LogLevel::Error, "hyper", Level::WARN, false),
            (LogLevel::Trace, "hyper", Level::TRACE, true),
        ] {
            assert_eq!(targets(level).would_enable(target, &written), would, "{level:?} {target} {written}");
        }
    }
}
