//! The tonic peer: the benchmark's service on tokio, with the flags of the other servers.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::net::TcpListener;
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::Stream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

pub mod pb {
    tonic::include_proto!("rill.bench.v1");
}
use pb::bench_server::{Bench, BenchServer};
use pb::*;

struct Flags {
    port: u16,
    threads: usize,
    capacity: usize,
    window: u32,
    lifetime: u64,
}

fn parse_flags() -> Flags {
    let mut values: HashMap<String, String> = HashMap::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
        values.insert(name, value);
    }
    let mut number = |name: &str, otherwise: u64| -> u64 {
        values.remove(name).map_or(otherwise, |value| value.parse().expect("a number"))
    };
    let flags = Flags {
        port: number("--port", 0) as u16,
        threads: number("--threads", 1) as usize,
        capacity: number("--capacity", 64) as usize,
        window: number("--window", 0) as u32,
        lifetime: number("--lifetime", 900),
    };
    if let Some(name) = values.keys().next() {
        panic!("unknown flag {name}");
    }
    flags
}

#[derive(Default)]
struct Counts {
    unary: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

/// `left` copies of one message; ready whenever it is polled.
struct Repeat {
    message: Payload,
    left: u64,
    counts: Arc<Counts>,
}

impl Stream for Repeat {
    type Item = Result<Payload, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.counts.sent.fetch_add(1, Relaxed);
        Poll::Ready(Some(Ok(self.message.clone())))
    }
}

/// What comes in goes out.
struct EchoStream {
    incoming: Streaming<Payload>,
    counts: Arc<Counts>,
}

impl Stream for EchoStream {
    type Item = Result<Payload, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.incoming).poll_next(context);
        if let Poll::Ready(Some(Ok(_))) = &next {
            self.counts.received.fetch_add(1, Relaxed);
            self.counts.sent.fetch_add(1, Relaxed);
        }
        next
    }
}

struct BenchService {
    counts: Arc<Counts>,
    capacity: usize,
    subscribers: Mutex<Vec<mpsc::Sender<Result<Event, Status>>>>,
}

fn document() -> Document {
    let sections = (0..128u32)
        .map(|i| document::Section {
            title: format!("Section {i}"),
            text: "The quick brown fox jumps over the lazy dog.".into(),
            marks: (0..8).map(|mark| i * mark).collect(),
            weight: f64::from(i) * 0.5,
            author: Some(document::Author {
                name: format!("Author {}", i % 7),
                mail: "author@example.com".into(),
                id: u64::from(i),
            }),
        })
        .collect();
    Document {
        title: "A document that costs something to serialise".into(),
        published: true,
        sections,
        labels: (0..32).map(|i| (format!("label-{i}"), format!("value-{i}"))).collect(),
        counters: (0..32u64).map(|i| (format!("counter-{i}"), i * 1000)).collect(),
        samples: (0..32).map(|i| i - 16).collect(),
    }
}

#[tonic::async_trait]
impl Bench for BenchService {
    type DownStream = Repeat;
    type EchoStream = EchoStream;
    type SubscribeStream = ReceiverStream<Result<Event, Status>>;

    async fn unary(&self, request: Request<Payload>) -> Result<Response<Payload>, Status> {
        self.counts.unary.fetch_add(1, Relaxed);
        Ok(Response::new(request.into_inner()))
    }

    async fn down(&self, request: Request<DownRequest>) -> Result<Response<Repeat>, Status> {
        let request = request.into_inner();
        Ok(Response::new(Repeat {
            message: Payload { data: Bytes::from(vec![b'x'; request.size as usize]) },
            left: request.count,
            counts: self.counts.clone(),
        }))
    }

    async fn up(&self, request: Request<Streaming<Payload>>) -> Result<Response<UpSummary>, Status> {
        let mut incoming = request.into_inner();
        let mut summary = UpSummary::default();
        while let Some(message) = incoming.message().await? {
            self.counts.received.fetch_add(1, Relaxed);
            summary.messages += 1;
            summary.bytes += message.data.len() as u64;
        }
        Ok(Response::new(summary))
    }

    async fn echo(&self, request: Request<Streaming<Payload>>) -> Result<Response<EchoStream>, Status> {
        Ok(Response::new(EchoStream { incoming: request.into_inner(), counts: self.counts.clone() }))
    }

    async fn subscribe(
        &self,
        _: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (sender, receiver) = mpsc::channel(self.capacity);
        sender.try_send(Ok(Event::default())).expect("an empty queue has room");
        self.subscribers.lock().unwrap().push(sender);
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishReply>, Status> {
        let request = request.into_inner();
        let body = match request.size {
            0 => event::Body::Document(document()),
            size => event::Body::Data(Bytes::from(vec![b'x'; size as usize])),
        };
        let subscribers: Vec<_> = {
            let mut known = self.subscribers.lock().unwrap();
            known.retain(|subscriber| !subscriber.is_closed());
            known.clone()
        };
        for sequence in 1..=request.count {
            let event = Event { sequence, body: Some(body.clone()) };
            for subscriber in &subscribers {
                if subscriber.send(Ok(event.clone())).await.is_ok() {
                    self.counts.sent.fetch_add(1, Relaxed);
                }
            }
        }
        Ok(Response::new(PublishReply { subscribers: subscribers.len() as u64 }))
    }
}

async fn serve(flags: Flags) {
    let address: SocketAddr = ([127, 0, 0, 1], flags.port).into();
    let listener = TcpListener::bind(address).await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let counts = Arc::new(Counts::default());
    let service = BenchServer::new(BenchService {
        counts: counts.clone(),
        capacity: flags.capacity,
        subscribers: Mutex::default(),
    });
    let mut builder = Server::builder();
    if flags.window > 0 {
        builder = builder.initial_stream_window_size(flags.window).http2_adaptive_window(Some(false));
    }
    let mut interrupted = signal(SignalKind::interrupt()).expect("signal");
    let mut terminated = signal(SignalKind::terminate()).expect("signal");
    println!("{{\"ready\": true, \"port\": {port}}}");
    std::io::stdout().flush().expect("stdout");
    tokio::select! {
        served = builder
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))) => served.expect("serve"),
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        () = tokio::time::sleep(Duration::from_secs(flags.lifetime)) => {}
    }
    println!(
        "{{\"unary\": {}, \"received\": {}, \"sent\": {}}}",
        counts.unary.load(Relaxed),
        counts.received.load(Relaxed),
        counts.sent.load(Relaxed)
    );
}

fn main() {
    let flags = parse_flags();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(flags.threads)
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(serve(flags));
}
