#include "stator/base/sink.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stator {
namespace {

class Recorder final : public Sink {
public:
    void report(
        Severity, std::string_view target, std::string_view message, std::source_location
    ) noexcept override {
        last = std::string{target} + "/" + std::string{message};
    }
    void count(std::string_view, std::uint64_t by) noexcept override { counted += by; }
    void gauge(std::string_view, double value) noexcept override { gauged = value; }

    std::string last;
    std::uint64_t counted = 0;
    double gauged = 0;
};

TEST(Sink, the_default_writes_warnings_and_errors_to_stderr) {
    testing::internal::CaptureStderr();
    sink().report(Severity::info, "test", "not shown");
    sink().report(Severity::warn, "test", "shown");
    sink().report(Severity::error, "test", std::string(5000, 'x'));
    sink().count("dropped", 1);
    sink().gauge("dropped", 1.0);
    const auto shown = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(shown.starts_with("warning test: shown\nerror test: xxx")) << shown;
    EXPECT_EQ(shown.find("not shown"), std::string::npos);
    EXPECT_TRUE(shown.ends_with("x\n"));
}

TEST(Sink, a_replacement_gets_everything_until_it_is_removed) {
    Recorder recorder;
    set_sink(&recorder);
    sink().report(Severity::debug, "a", "b");
    sink().count("n", 3);
    sink().gauge("g", 0.5);
    set_sink(nullptr);
    EXPECT_EQ(recorder.last, "a/b");
    EXPECT_EQ(recorder.counted, 3U);
    EXPECT_EQ(recorder.gauged, 0.5);
    EXPECT_NE(&sink(), &recorder);
}

}  // namespace
}  // namespace stator
