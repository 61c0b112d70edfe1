#include <cstdio>
#include <string_view>

#include "raw/wire.hpp"

int main(int argc, char** argv) {
    const std::string_view verb = argc > 1 ? argv[1] : "";
    if (verb == "serve")
        return bench::raw::serve(bench::ServeOptions::parse(argc - 2, argv + 2).port);
    if (verb == "client") return bench::raw::run_client(bench::Options::parse(argc - 2, argv + 2));
    std::fputs("usage: bench_peer_raw serve [--port P] | client --port P [options]\n", stderr);
    return 2;
}
