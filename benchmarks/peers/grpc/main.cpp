#include <cstdio>
#include <string_view>

#include "grpc/peer.hpp"

int main(int argc, char** argv) {
    const std::string_view verb = argc > 1 ? argv[1] : "";
    if (verb == "serve")
        return bench::grpc_peer::serve(bench::ServeOptions::parse(argc - 2, argv + 2));
    if (verb == "client") {
        using bench::Mode;
        const auto options = bench::Options::parse(argc - 2, argv + 2);
        const bool load = options.mode != Mode::idle && options.mode != Mode::over_limit &&
                          options.mode != Mode::first;
        return load ? bench::grpc_peer::run_client(options) : bench::grpc_peer::run_other(options);
    }
    std::fputs(
        "usage: bench_peer_grpc serve [--unbuffered] [--limit N] [--port P] | client --port P "
        "[options]\n",
        stderr
    );
    return 2;
}
