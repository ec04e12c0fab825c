# Every folder of minke/ is one static library and every folder of tests/ one program, made from
# all the .cpp files in it, so adding a file needs no line here.

# Flags for all of our code. -ffp-contract=off: a product and a sum fuse only where the source says
# fma, so the bits of a result do not depend on the compiler's choice. Without -fno-trapping-math
# g++ does not vectorise loops over exp_f32 (kernels/exp.h).
add_library(minke_flags INTERFACE)
target_compile_options(minke_flags INTERFACE -Wall -Wextra -Wshadow -Werror=return-type
                       -ffp-contract=off -fno-math-errno -fno-trapping-math)
target_include_directories(minke_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(minke_flags INTERFACE MINKE_VERSION="${PROJECT_VERSION}"
                           $<$<CONFIG:Debug>:MINKE_DEBUG>)
if(MINKE_SANITIZE)
  target_compile_options(minke_flags INTERFACE -fsanitize=${MINKE_SANITIZE}
                         -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(minke_flags INTERFACE -fsanitize=${MINKE_SANITIZE})
  target_compile_definitions(minke_flags INTERFACE MINKE_DEBUG)
endif()
if(MINKE_FUZZ)
  target_compile_options(minke_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# With MINKE_PCH every target shares one precompiled header. Files with an instruction set of their
# own cannot use it: compilers refuse a header that was made for another one.
if(MINKE_PCH)
  file(WRITE ${PROJECT_BINARY_DIR}/pch.cpp "")
  add_library(minke_pch STATIC ${PROJECT_BINARY_DIR}/pch.cpp)
  target_link_libraries(minke_pch PRIVATE minke_flags)
  target_precompile_headers(minke_pch PRIVATE <algorithm> <array> <cmath> <cstdint> <deque>
    <filesystem> <functional> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string>
    <string_view> <thread> <unordered_map> <vector> <fmt/format.h> <tl/expected.hpp>
    <gtest/gtest.h>)
endif()
function(mk_use_pch target)
  if(MINKE_PCH)
    target_precompile_headers(${target} REUSE_FROM minke_pch)
  endif()
endfunction()

# mk_folder(NAME [DEPS folders...] [LINK libraries...]): the library minke_NAME.
function(mk_folder name)
  cmake_parse_arguments(A "" "" "DEPS;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp
       ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  add_library(minke_${name} STATIC ${sources})
  list(TRANSFORM A_DEPS PREPEND minke_)
  target_link_libraries(minke_${name} PUBLIC minke_flags ${A_DEPS} PRIVATE ${A_LINK})
  mk_use_pch(minke_${name})
endfunction()

# mk_tests(NAME [DEPS folders...] [LINK libraries...]): the program test_NAME from tests/NAME/*.cpp.
# Tests whose name holds "Slow" run only under the ctest label `slow` (./check --all). Under
# qemu-user, death tests cannot run, for they execute their program anew, and the real model takes
# half an hour.
set(MINKE_TESTS_LEFT_OUT "*Slow*")
if(CMAKE_CROSSCOMPILING)
  string(APPEND MINKE_TESTS_LEFT_OUT ":*DeathTest*:SmolLm2.*")
endif()
function(mk_tests name)
  cmake_parse_arguments(A "" "" "DEPS;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  list(TRANSFORM A_DEPS PREPEND minke_)
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE ${A_DEPS} ${A_LINK} gtest gtest_main)
  mk_use_pch(test_${name})
  set(environment "MINKE_SOURCE_DIR=${PROJECT_SOURCE_DIR};MINKE_BINARY_DIR=${PROJECT_BINARY_DIR}")
  add_test(NAME ${name}
           COMMAND test_${name} --gtest_brief=1 --gtest_filter=-${MINKE_TESTS_LEFT_OUT})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${environment}")
  execute_process(COMMAND grep -lE "TEST.*Slow" ${sources} OUTPUT_VARIABLE slow ERROR_QUIET)
  if(slow)
    add_test(NAME ${name}.slow COMMAND test_${name} --gtest_brief=1 --gtest_filter=*Slow*)
    set_tests_properties(${name}.slow PROPERTIES ENVIRONMENT "${environment}" LABELS slow)
  endif()
endfunction()
