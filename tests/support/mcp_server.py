"""An MCP server that tells the weather, for tests to run as a program of its own."""

from __future__ import annotations

PROGRAM = __file__


def main() -> None:
    """Serve on standard input and output; MCP's SDK names its server by its release."""
    try:
        from mcp.server.mcpserver import MCPServer as Server
    except ImportError:
        from mcp.server.fastmcp import FastMCP as Server

    server = Server("sky")

    @server.tool()
    def weather(city: str) -> str:
        """Tell the weather in a city"""  # noqa: D415  # a tool's description, not ours
        if city == "Atlantis":
            raise ValueError("no such city")
        return f"it rains in {city}"

    server.run("stdio")


if __name__ == "__main__":
    main()
