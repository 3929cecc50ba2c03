// Generates the service; `bytes` fields become reference-counted `Bytes`.
fn main() {
    tonic_prost_build::configure()
        .build_client(false)
        .bytes(".")
        .compile_protos(&["../../protos/bench.proto"], &["../../protos"])
        .expect("protoc");
}
