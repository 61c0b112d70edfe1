#include "stator/codec/utf8.hpp"

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

namespace stator {
namespace {

/// The encoding of `code` by the textbook, whether it may be encoded or not.
std::string encoded(std::uint32_t code) {
    const auto letter = [](std::uint32_t byte) { return std::string(1, static_cast<char>(byte)); };
    if (code < 0x80) return letter(code);
    const auto last = letter(0x80 | (code & 0x3f));
    if (code < 0x800) return letter(0xc0 | (code >> 6)) + last;
    const auto second_last = letter(0x80 | ((code >> 6) & 0x3f));
    if (code < 0x10000) return letter(0xe0 | (code >> 12)) + second_last + last;
    return letter(0xf0 | (code >> 18)) + letter(0x80 | ((code >> 12) & 0x3f)) + second_last + last;
}

TEST(Utf8, every_code_point_but_surrogates_is_well_formed) {
    for (std::uint32_t code = 0; code < 0x120000; ++code) {
        const bool allowed = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        ASSERT_EQ(is_utf8(encoded(code)), allowed) << std::hex << code;
    }
}

TEST(Utf8, position_and_length_do_not_matter) {
    const std::string good = "\xe2\x82\xac";
    for (std::size_t before = 0; before < 20; ++before) {
        for (std::size_t after = 0; after < 20; ++after) {
            const auto text = std::string(before, 'a') + good + std::string(after, 'b');
            EXPECT_TRUE(is_utf8(text));
            auto cut = text;
            cut.erase(before + 2, 1);
            EXPECT_FALSE(is_utf8(cut)) << before << " " << after;
            auto stray = text;
            stray.insert(before, 1, '\x80');
            EXPECT_FALSE(is_utf8(stray)) << before << " " << after;
        }
    }
    EXPECT_TRUE(is_utf8(""));
}

TEST(Utf8, malformed_sequences) {
    for (const std::string text : {
             "\x80",              // continuation without a lead
             "\xc0\x80",          // overlong NUL
             "\xc1\xbf",          // overlong
             "\xe0\x9f\xbf",      // overlong
             "\xf0\x8f\xbf\xbf",  // overlong
             "\xed\xa0\x80",      // surrogate
             "\xf4\x90\x80\x80",  // above U+10FFFF
             "\xf5\x80\x80\x80",
             "\xff",
             "\xfe",
             "\xc3",          // cut short
             "\xe2\x82",      // cut short
             "\xf0\x9f\x98",  // cut short
             "\xc3\x28",      // a letter where a continuation is due
         }) {
        EXPECT_FALSE(is_utf8(text));
        EXPECT_FALSE(is_utf8("12345678" + text + "12345678"));
    }
}

}  // namespace
}  // namespace stator
