#include "tools/demo/terminal.hpp"

#include <array>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stator::demo {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TerminalTest : public ::testing::Test {
protected:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    std::string written() {
        std::rewind(file_.get());
        std::string text;
        std::array<char, 4096> part{};
        while (const auto size = std::fread(part.data(), 1, part.size(), file_.get()))
            text.append(part.data(), size);
        return text;
    }
    std::unique_ptr<std::FILE, Close> file_{std::tmpfile()};
};

TEST_F(TerminalTest, a_file_gets_plain_lines_and_no_progress) {
    Terminal terminal{file_.get(), false};
    terminal.line(terminal.bold("title"));
    terminal.progress("half");
    terminal.line(terminal.green("ok") + terminal.red("FAILED"));
    EXPECT_EQ(written(), "title\nokFAILED\n");
}

TEST_F(TerminalTest, progress_is_taken_back_before_the_next_line) {
    Terminal terminal{file_.get(), true};
    terminal.progress("one");
    terminal.progress("two");
    terminal.line("end");
    terminal.line("more");
    EXPECT_EQ(written(), "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[Kend\nmore\n");
}

TEST_F(TerminalTest, progress_never_wraps) {
    Terminal terminal{file_.get(), true};
    terminal.progress(std::string(200, 'x'));
    EXPECT_THAT(written(), HasSubstr(std::string(Terminal::width, 'x')));
    EXPECT_THAT(written(), Not(HasSubstr(std::string(Terminal::width + 1, 'x'))));
}

TEST_F(TerminalTest, a_paragraph_breaks_between_words_only) {
    Terminal terminal{file_.get(), false};
    terminal.paragraph("Begin");
    std::string words = "Begin";
    for (int i = 0; i < 60; ++i) {
        for (const std::string piece : {" word", ","}) {
            terminal.word(piece);
            words += piece;
        }
    }
    terminal.end_paragraph();
    std::istringstream lines{written()};
    std::string joined;
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
        EXPECT_LE(line.size(), Terminal::width + 1);  // a mark may hang over
        EXPECT_TRUE(line.starts_with("    "));
        joined += (joined.empty() ? "" : " ") + line.substr(4);
    }
    EXPECT_EQ(joined, words);
    EXPECT_EQ(count, 6);
}

}  // namespace
}  // namespace stator::demo
