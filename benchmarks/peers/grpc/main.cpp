#include <cstdio>
#include <string_view>

#include "grpc/peer.hpp"

int main(int argc, char** argv) {
    const std::string_view verb = argc > 1 ? argv[1] : "";
    const std::string_view option = argc > 2 ? argv[2] : "";
    if (verb == "serve" && (option.empty() || option == "--unbuffered")) {
        return bench::grpc_peer::serve(option.empty());
    }
    if (verb == "client")
        return bench::grpc_peer::run_client(bench::Options::parse(argc - 2, argv + 2));
    std::fputs("usage: bench_peer_grpc serve [--unbuffered] | client --port P [options]\n", stderr);
    return 2;
}
