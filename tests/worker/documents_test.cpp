// The code of docs/health.md: it is here, so that it compiles, and a test compares the two.
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

#include <gtest/gtest.h>

#include "stator/component/distributed_runtime.hpp"
#include "stator/observe/health.hpp"
#include "stator/worker/worker.hpp"

namespace {

stator::Stream<std::string> generate(stator::Context, std::string text) { co_yield text; }
std::string reload(const std::string& body) { return body; }
stator::Task<> app(stator::Runtime) { co_return; }

// clang-format off
[[maybe_unused]] void holds() {
const auto hold = stator::observe::health()->hold("loading the weights");
}

[[maybe_unused]] stator::Task<> serves(stator::Endpoint endpoint) {
co_await endpoint.serve(generate, {.health_check = R"({"prompt":"ping","max_tokens":1})"});
}

[[maybe_unused]] int has_a_route() {
auto worker = stator::Worker::from_settings();
worker.engine().add("reload", [](stator::http::Request request) -> stator::Task<stator::http::Response> {
    co_return stator::http::Response::json(200, reload(request.body));
});
return worker.execute(app);
}

[[maybe_unused]] void measures(stator::Endpoint endpoint) {
const auto hits = endpoint.metrics().counter("cache_hits_total", "Blocks found", {{"tier", "gpu"}});
hits.add();
}
// clang-format on

std::string content_of(const std::string& path) {
    std::ifstream file{std::string{STATOR_SOURCE_DIR} + "/" + path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

TEST(Documents, TheCodeOfHealthIsCompiled) {
    const auto page = content_of("docs/health.md");
    const auto own = content_of("tests/worker/documents_test.cpp");
    const std::regex block{"```cpp\n([^`]*)```"};
    int blocks = 0;
    for (std::sregex_iterator at{page.begin(), page.end(), block}, end; at != end; ++at) {
        EXPECT_NE(own.find((*at)[1].str()), std::string::npos) << (*at)[1].str();
        ++blocks;
    }
    EXPECT_EQ(blocks, 4);
}

}  // namespace
