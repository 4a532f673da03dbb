//! What is scraped: services whose pods come and go, each with histograms, counters and gauges.

use promgate::Labels;

const BOUNDS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
const ROUTES: [&str; 2] = ["/cart", "/checkout"];
const CODES: [&str; 3] = ["200", "404", "503"];

/// Series of a pod: `le` buckets, count and sum of every route, requests by route and code, two gauges.
pub(crate) const WIDTH: usize = ROUTES.len() * (BOUNDS.len() + 2 + CODES.len()) + 2;

/// `SplitMix64`.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A pod of a service.
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) labels: Vec<Labels>,
    values: Vec<f64>,
    chance: u64,
}

impl Pod {
    fn new(service: usize, number: u64) -> Self {
        let name = format!("service-{service}-{:010x}", mix(number) >> 24);
        let base = |metric: &str, more: &[(&str, &str)]| {
            let service = format!("service-{service}");
            let own = [("__name__", metric), ("service", &service), ("pod", &name)];
            Labels::from_pairs(own.into_iter().chain(more.iter().copied()))
        };
        let mut labels = Vec::with_capacity(WIDTH);
        for route in ROUTES {
            let buckets = BOUNDS.map(|le| base("request_seconds_bucket", &[("route", route), ("le", le)]));
            labels.extend(buckets);
            labels.push(base("request_seconds_count", &[("route", route)]));
            labels.push(base("request_seconds_sum", &[("route", route)]));
            labels.extend(CODES.map(|code| base("requests_total", &[("route", route), ("code", code)])));
        }
        labels.extend([base("memory_bytes", &[]), base("up", &[])]);
        Self { name, values: vec![0.0; labels.len()], labels, chance: number }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_add(1);
        mix(self.chance) % below
    }

    /// In the order of the labels.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Goes on to the values of the next scrape.
    pub(crate) fn scrape(&mut self) {
        let of_route = BOUNDS.len() + 2 + CODES.len();
        for route in 0..ROUTES.len() {
            let (mut requests, mut below) = (0.0, 0.0);
            for bound in 0..BOUNDS.len() {
                below += self.draw(4) as f64;
                self.values[route * of_route + bound] += below;
                requests = below;
            }
            self.values[route * of_route + BOUNDS.len()] += requests;
            self.values[route * of_route + BOUNDS.len() + 1] += requests * self.draw(1000) as f64 / 3000.0;
            self.values[route * of_route + BOUNDS.len() + 2] += requests;
            let code = 1 + self.draw(2) as usize;
            self.values[route * of_route + BOUNDS.len() + 2 + code] += (self.draw(9) / 8) as f64;
        }
        self.values[WIDTH - 2] = (50_000_000 + self.draw(1_000_000) * 16) as f64;
        self.values[WIDTH - 1] = 1.0;
    }
}

/// All services, and which pods they have.
pub(crate) struct Traffic {
    pub(crate) pods: Vec<Pod>,
    services: usize,
    made: u64,
}

impl Traffic {
    pub(crate) fn new(services: usize, pods: usize) -> Self {
        let mut traffic = Self { pods: Vec::new(), services, made: 0 };
        for number in 0..services * pods {
            let pod = traffic.next(number % services);
            traffic.pods.push(pod);
        }
        traffic
    }

    fn next(&mut self, service: usize) -> Pod {
        self.made += 1;
        Pod::new(service, self.made << 32)
    }

    /// A pod of the next service in turn is replaced, as a rollout does, by a new one or one that comes back. Hands out the old one.
    pub(crate) fn roll(&mut self, turn: usize, back: Option<Pod>) -> Pod {
        let place = turn % self.pods.len();
        let new = back.unwrap_or_else(|| self.next(place % self.services));
        std::mem::replace(&mut self.pods[place], new)
    }

    pub(crate) fn made(&self) -> u64 {
        self.made
    }
}
