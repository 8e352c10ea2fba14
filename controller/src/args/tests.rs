#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use clap::CommandFactory as _;

use tidegate_proxy::observe::HostSeries;

use super::*;

fn read(line: &str) -> Result<Options, clap::Error> {
    Options::parse_checked(["tidegate"].into_iter().chain(line.split_whitespace()))
}

fn serve(line: &str) -> ServeOptions {
    let Command::Serve(options) = read(&format!("serve {line}")).unwrap().command else { panic!("not serve") };
    *options
}

#[test]
fn the_definition_of_the_command_line_is_consistent() {
    Options::command().debug_assert();
}

#[test]
fn defaults_are_as_documented() {
    let options = serve("");
    assert_eq!(options.listen.http, ListenAddress::All(8080));
    assert_eq!(options.listen.https, ListenAddress::All(8443));
    assert_eq!(options.listen.health, ListenAddress::All(10254));
    assert_eq!(options.listen.admin, ListenAddress::One("127.0.0.1:10246".parse().unwrap()));
    assert_eq!(options.classes.controller_name, ["tidegate.dev/ingress-controller"]);
    assert_eq!(options.process.drain_min(), Duration::from_secs(10));
    assert_eq!(options.process.drain_max, Duration::from_secs(240));
    assert!(options.publish.update_status);
    assert_eq!((options.metrics.series_limit(), options.metrics.hosts()), (200_000, HostSeries::Apart));
    assert!(!options.classes.watch_ingress_without_class && !options.trust.disable_external_name);
}

#[test]
fn a_wrong_flag_is_named_and_exits_2() {
    for (line, named) in [
        ("serve --htp :80", "--htp"),
        ("serve --http 80", "--http"),
        ("serve --http localhost:80", "--http"),
        ("serve --https 1.2.3.4", "--https"),
        ("serve --health x", "--health"),
        ("serve --admin 10246", "--admin"),
        ("serve --manifests a --kubeconfig b", "--kubeconfig"),
        ("serve --manifests a --context b", "--context"),
        ("serve --controller-name nginx", "--controller-name"),
        ("serve --ingress-class Nginx", "--ingress-class"),
        ("serve --ingress-class-by-name", "--ingress-class-by-name"),
        ("serve --ingress-class-by-name=perhaps", "--ingress-class-by-name"),
        ("serve --watch-namespace a_b", "--watch-namespace"),
        ("serve --metrics-series-limit 999", "--metrics-series-limit"),
        ("serve --metrics-series-limit many", "--metrics-series-limit"),
        ("serve --metrics-per-host=perhaps", "--metrics-per-host"),
        ("serve --trusted-proxy 10.0.0.0/33", "--trusted-proxy"),
        ("serve --proxy-protocol here", "--proxy-protocol"),
        ("serve --publish-service web", "--publish-service"),
        ("serve --publish-status-address 1.2.3", "--publish-status-address"),
        ("serve --publish-service a/b --publish-status-address 192.0.2.1", "--publish-status-address"),
        ("serve --publish-nodes-of a/b", "--publish-nodes-of"),
        ("serve --publish-nodes-of a/b=c --publish-service a/b", "--publish-nodes-of"),
        ("serve --default-certificate a/b/c", "--default-certificate"),
        ("serve --default-backend a/b:99999", "--default-backend"),
        ("serve --election-lease lease", "--election-lease"),
        ("serve --workers 0", "--workers"),
        ("serve --workers many", "--workers"),
        ("serve --drain-min 10", "--drain-min"),
        ("serve --drain-max -1s", "--drain-max"),
        ("serve --drain-min 5m", "--drain-min"),
        ("serve --log-format xml", "--log-format"),
        ("serve --log-level loud", "--log-level"),
        ("serve --access-log-format $sttaus", "--access-log-format"),
        ("serve --public-http-port 0", "--public-http-port"),
        ("serve --public-https-port 65536", "--public-https-port"),
        ("serve --update-status=perhaps", "--update-status"),
        ("check", "PATH"),
        ("check a --snapshot b", "--snapshot"),
        ("check a -o yaml", "--output"),
        ("explain", "URL"),
        ("explain shop.example.com/cart", "URL"),
        ("explain ftp://a/", "URL"),
        ("explain http://a/ -X G=T", "--method"),
        ("explain http://a/ -H novalue", "--header"),
        ("explain http://a/ --client here", "--client"),
        ("explain http://a/ -o table", "--output"),
        ("explain http://a/ --admin localhost:1", "--admin"),
        ("explain http://a/ --admin 127.0.0.1:1 --manifests x", "--manifests"),
        ("routes --admin 127.0.0.1:1 --context x", "--context"),
        ("explain http://a/ --admin 127.0.0.1:1 --trusted-proxy 10.0.0.1", "--trusted-proxy"),
        ("routes --admin 127.0.0.1:1 --watch-namespace a", "--watch-namespace"),
        ("certs -o text", "--output"),
        ("backends --watch-namespace a_b", "--watch-namespace"),
        ("diagnostics --controller-name nginx", "--controller-name"),
        ("diff a", "NEW"),
        ("diff a cluster:", "NEW"),
        ("diff admin:localhost b", "OLD"),
        ("diff a b -o table", "--output"),
        ("diff a b --trusted-proxy x", "--trusted-proxy"),
        ("diff a admin:127.0.0.1:1 --kubeconfig x", "--kubeconfig"),
        ("diff admin:127.0.0.1:1 admin:127.0.0.1:2 --ingress-class x", "--ingress-class"),
        ("diff admin:127.0.0.1:1 admin:127.0.0.1:2 --watch-namespace x", "--watch-namespace"),
        ("echo --listen nowhere", "--listen"),
        ("", "Usage"),
        ("sreve", "sreve"),
    ] {
        let error = read(line).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(named), "{line}: {message}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn a_place_to_look_that_is_written_wins_over_one_of_the_environment() {
    let matches = Options::command().try_get_matches_from(["tidegate", "routes", "--manifests", "a"]).unwrap();
    let Command::Routes(mut options) = read("routes --manifests a").unwrap().command else { panic!("not routes") };
    // As if TIDEGATE_ADMIN were set, which a test cannot do without its neighbours.
    options.look.admin = Some("127.0.0.1:1".parse().unwrap());
    options.look.settle(matches.subcommand().unwrap().1).unwrap();
    assert_eq!(options.look.admin, None);
}

#[test]
fn every_flag_beside_the_place_to_look_is_known_to_say_nothing_to_an_instance() {
    let own = ["manifests", "kubeconfig", "context", "admin", "output", "help"];
    let routes = Options::command().get_subcommands().find(|command| command.get_name() == "routes").unwrap().clone();
    for flag in routes.get_arguments().filter_map(|flag| flag.get_long()).filter(|flag| !own.contains(flag)) {
        let value = match flag {
            "default-backend" | "default-certificate" | "controller-name" => "=a/b",
            "public-http-port" | "public-https-port" => "=1",
            "trusted-proxy" | "proxy-protocol" => "=10.0.0.1",
            "watch-namespace" | "ingress-class" => "=a",
            _ => "",
        };
        let error = read(&format!("routes --admin 127.0.0.1:1 --{flag}{value}")).unwrap_err().to_string();
        assert!(error.contains(&format!("--{flag} has no effect")), "{flag}: {error}");
    }
}

#[test]
fn lists_are_repeated_or_separated_by_commas() {
    let options = serve("--trusted-proxy 10.0.0.0/8 --trusted-proxy fd00::/8,192.0.2.1 --watch-namespace a,b");
    assert_eq!(options.trust.trusted_proxy, ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"]);
    assert_eq!(options.source.watch_namespace, ["a", "b"]);
    let options = serve("--controller-name a.example/x --controller-name k8s.io/ingress-nginx");
    assert_eq!(options.classes.controller_name, ["a.example/x", "k8s.io/ingress-nginx"]);
}

#[test]
fn switches_stand_alone_or_take_a_value() {
    for (line, on) in [
        ("--watch-ingress-without-class", true),
        ("--watch-ingress-without-class=true", true),
        ("--watch-ingress-without-class=false", false),
        ("", false),
    ] {
        assert_eq!(serve(line).classes.watch_ingress_without_class, on, "{line}");
    }
    assert!(!serve("--update-status=false").publish.update_status);
}

#[test]
fn every_flag_has_its_name_in_the_environment_and_every_serve_flag_its_group() {
    for command in Options::command().get_subcommands() {
        for flag in command.get_arguments().filter(|flag| flag.get_long().is_some_and(|name| name != "help")) {
            let name = flag.get_long().unwrap().to_ascii_uppercase().replace('-', "_");
            assert_eq!(flag.get_env().and_then(|env| env.to_str()), Some(&*format!("TIDEGATE_{name}")), "{}", command.get_name());
            assert!(command.get_name() != "serve" || flag.get_help_heading().is_some(), "--{name} stands in no group");
        }
    }
}

#[test]
fn a_short_drain_max_shortens_the_default_drain_min() {
    assert_eq!(serve("--drain-max 3s").process.drain_min(), Duration::from_secs(3));
}

/// The page that is generated from the definition of the command line; `UPDATE_GENERATED=1` rewrites it.
#[test]
fn the_page_of_the_command_line_is_current() {
    let mut page = String::from(include_str!("cli.md.head"));
    for mut command in Options::command().term_width(110).get_subcommands().cloned().collect::<Vec<_>>() {
        let name = command.get_name().to_owned();
        command = command.bin_name(format!("tidegate {name}")).term_width(110);
        page.push_str(&format!("\n## tidegate {name}\n\n```text\n{}```\n", command.render_long_help()));
    }
    let page: String = page.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).unwrap();
        std::fs::write(path, &page).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap_or_default() == page, "docs/cli.md is not current: run this test with UPDATE_GENERATED=1");
}
