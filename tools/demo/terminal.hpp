// What the demo prints: plain lines, and on a terminal some colour and a line that changes.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

namespace stator::demo {

/// One thread at a time. What cannot be written is dropped.
class Terminal {
public:
    static constexpr std::size_t width = 78;

    /// `lively`: whether escape sequences are understood.
    Terminal(std::FILE* out, bool lively) noexcept : out_{out}, lively_{lively} {}
    /// Standard output; lively if it is a terminal and NO_COLOR is not set.
    static Terminal standard() noexcept;
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    void line(std::string_view text = {});
    /// Shows `text` until the next output; nothing where lines cannot be taken back.
    void progress(std::string_view text);

    std::string bold(std::string_view text) const { return styled("1", text); }
    std::string green(std::string_view text) const { return styled("32", text); }
    std::string red(std::string_view text) const { return styled("1;31", text); }

    /// Begins an indented paragraph; `word` adds to it, pieces with their leading blank, and breaks
    /// lines.
    void paragraph(std::string_view first);
    void word(std::string_view piece);
    void end_paragraph();

private:
    std::string styled(std::string_view code, std::string_view text) const;
    void write(std::string_view text);
    void clear_progress();

    std::FILE* out_;
    bool lively_;
    bool progress_shown_ = false;
    std::size_t column_ = 0;
};

}  // namespace stator::demo
