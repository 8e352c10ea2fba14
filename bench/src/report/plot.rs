//! A plot of a run: for each suite, every proxy's CPU per request (or memory) as a multiple of nginx's, or of the floor's without it.

use std::fmt::Write as _;

use crate::peers::Peer;
use crate::run::Results;
use crate::suites::SUITES;

const BAR: u32 = 14;
const GAP: u32 = 16;
const LEFT: u32 = 130;
const WIDTH: u32 = 760;
/// Multiples above this are cut off, and written beside the bar.
const MOST: f64 = 5.0;

fn colour(peer: Peer) -> &'static str {
    match peer {
        Peer::Tidegate => "#0b6e99",
        Peer::Floor => "#9fc5d6",
        Peer::Nginx => "#4f9a3c",
        Peer::Haproxy => "#8e6bb5",
        Peer::Envoy => "#d98332",
        Peer::Traefik => "#c1443c",
    }
}

/// Renders it as SVG.
pub(super) fn render(results: &Results) -> String {
    let mut bars = String::new();
    let mut y = 60;
    for suite in SUITES {
        let site = suite.sites.last().map_or("", |site| site.name);
        let key = suite.measure.key();
        let base = ["nginx", "floor"].into_iter().find(|peer| results.spread(suite.name, (peer, site), key).is_some());
        let Some(base) = base else { continue };
        let top = y;
        for peer in Peer::ALL {
            let Some(spread) = results.ratio(suite.name, (peer.name(), site), (base, site), key) else { continue };
            let scale = f64::from(WIDTH - LEFT - 90) / MOST;
            let _ = writeln!(
                bars,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{}\">{:.2} {}</text>",
                spread.median.min(MOST) * scale,
                BAR - 2,
                colour(peer),
                f64::from(LEFT) + spread.median.min(MOST) * scale + 4.0,
                y + BAR - 4,
                spread.median,
                peer.name(),
            );
            y += BAR;
        }
        let _ = writeln!(
            bars,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" font-weight=\"bold\">{}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{key}, {base} = 1</text>",
            LEFT - 8,
            top + 12,
            suite.name,
            LEFT - 8,
            top + 26,
        );
        y = y.max(top + 30) + GAP;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" viewBox=\"0 0 {WIDTH} {y}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"bold\">What a request costs (less is better)</text>\n\
         <text x=\"12\" y=\"42\">Medians of {} rounds of one paired run; each proxy has one core. Bars end at {MOST}.</text>\n{bars}</svg>\n",
        results.rounds
    )
}
