// CMake hangs the precompiled headers on this file; see room.cmake.
// SPDX-License-Identifier: Apache-2.0
